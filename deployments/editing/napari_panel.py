"""The panel of buttons and lists beside the image in napari."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from deployments.editing.suspects import Suspect

PAINT_TARGETS = ("the selected object", "a new object", "background (erase)")
COLUMNS = 3
FAILED = "color: #ff9a8a;"


@dataclass(frozen=True)
class Action:
    """A button.

    Attributes
    ----------
    name
        Name by which tests and keys find it.
    text
        Text on the button.
    key
        Its key in napari; empty for none.
    hint
        What it does.
    run
        Called when it is pressed.
    """

    name: str
    text: str
    key: str
    hint: str
    run: Callable[[], object]


class Panel(QWidget):  # type: ignore[misc]
    """Buttons of all operations, the lists of suspects and of unsaved operations, and a line of messages.

    Parameters
    ----------
    sections
        Title and buttons of each group.
    show_suspect
        Called with the row of the suspect that was chosen.
    restore
        Called when the unsaved operations of an ended session are asked for.
    """

    def __init__(
        self,
        sections: Sequence[tuple[str, Sequence[Action]]],
        show_suspect: Callable[[int], None],
        restore: Callable[[], None],
    ) -> None:
        super().__init__()
        self.buttons: dict[str, QPushButton] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setMinimumHeight(44)
        self.message.setAlignment(Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.message)
        self.restore = QPushButton()
        self.restore.clicked.connect(lambda: restore())
        self.restore.hide()
        layout.addWidget(self.restore)
        for title, actions in sections:
            layout.addWidget(self._section(title, actions))
        self.suspects = QTreeWidget()
        self.suspects.setHeaderLabels(["", "suspect", "suggested"])
        self.suspects.setRootIsDecorated(False)
        self.suspects.setColumnWidth(0, 40)
        self.suspects.setColumnWidth(1, 190)
        self.suspects.itemClicked.connect(lambda item: show_suspect(self.suspects.indexOfTopLevelItem(item)))
        self.suspects_title = QLabel("Suspects")
        layout.addWidget(self.suspects_title)
        layout.addWidget(self.suspects, stretch=2)
        self.pending_title = QLabel()
        self.pending = QListWidget()
        layout.addWidget(self.pending_title)
        layout.addWidget(self.pending, stretch=1)
        self.reason = QLineEdit()
        self.reason.setPlaceholderText("reason, kept with the operations")
        layout.addWidget(self.reason)

    def add_save(self, action: Action) -> None:
        """Add the button that saves, below all others."""
        self.layout().addWidget(self._button(action))

    def _section(self, title: str, actions: Sequence[Action]) -> QGroupBox:
        box = QGroupBox(title)
        grid = QGridLayout(box)
        grid.setContentsMargins(4, 4, 4, 4)
        grid.setSpacing(3)
        for number, action in enumerate(actions):
            grid.addWidget(self._button(action), number // COLUMNS, number % COLUMNS)
        if title == "Paint":
            row = QHBoxLayout()
            self.paint_target = QComboBox()
            self.paint_target.addItems(PAINT_TARGETS)
            self.keep_others = QCheckBox("keep other objects")
            self.keep_others.setChecked(True)
            row.addWidget(self.paint_target)
            row.addWidget(self.keep_others)
            grid.addLayout(row, len(actions) // COLUMNS + 1, 0, 1, COLUMNS)
        return box

    def _button(self, action: Action) -> QPushButton:
        button = QPushButton(f"{action.text} ({action.key})" if action.key else action.text)
        button.setToolTip(action.hint)
        # The keyboard stays with the image.
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda: action.run())
        self.buttons[action.name] = button
        return button

    def say(self, text: str, *, failed: bool = False) -> None:
        """Show a message."""
        self.message.setText(text)
        self.message.setStyleSheet(FAILED if failed else "")

    def offer(self, text: str) -> None:
        """Offer the unsaved operations of an ended session; an empty text takes the offer back."""
        self.restore.setText(text)
        self.restore.setVisible(bool(text))

    def list_suspects(self, suspects: Sequence[Suspect]) -> None:
        """Fill the list of suspects."""
        self.suspects_title.setText(
            f"Suspects: {len(suspects)}"
            if suspects
            else "No list of suspects; spherovem labels review makes one"
        )
        for suspect in suspects:
            item = QTreeWidgetItem([str(suspect.rank), suspect.reason, suspect.operation])
            item.setToolTip(1, suspect.explanation)
            self.suspects.addTopLevelItem(item)

    def mark_suspect(self, row: int, note: str) -> None:
        """Show that a suspect was dealt with; an empty note shows that it was not."""
        item = self.suspects.topLevelItem(row)
        font = item.font(1)
        font.setStrikeOut(bool(note))
        item.setFont(1, font)
        item.setToolTip(0, note)

    def select_suspect(self, row: int) -> None:
        """Highlight a suspect and scroll to it."""
        self.suspects.setCurrentItem(self.suspects.topLevelItem(row))

    def list_pending(self, texts: Sequence[str]) -> None:
        """Fill the list of unsaved operations."""
        self.pending_title.setText(f"Not saved: {len(texts)}" if texts else "Everything is saved")
        self.pending.clear()
        self.pending.addItems(list(texts))
        self.pending.scrollToBottom()
