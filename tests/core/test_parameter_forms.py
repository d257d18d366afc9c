"""Forms of parameters: bounds in the descriptions, everyday fields before expert ones."""

from pydantic import BaseModel, ConfigDict, Field

from spherovem_core.parameters import PipelineParameters, RegistrationParameters
from spherovem_core.parameters.forms import describe_form


class Example(BaseModel):
    model_config = ConfigDict(json_schema_extra=describe_form)

    fraction: float = Field(default=0.999, gt=0.5, le=1.0, description="A fraction.")
    rows: int | None = Field(default=None, ge=0, lt=1_000_000, description="Rows.")
    name: str = Field(default="x", min_length=1, description="A name.")
    bare: int = Field(default=1, ge=1)


def test_bounds_follow_the_description() -> None:
    fields = Example.model_json_schema()["properties"]
    assert fields["fraction"]["description"] == "A fraction. [more than 0.5, at most 1]"
    assert fields["rows"]["description"] == "Rows. [at least 0, less than 1,000,000]"
    assert fields["name"]["description"] == "A name."
    assert fields["bare"]["description"] == "[at least 1]"
    assert fields["fraction"]["exclusiveMinimum"] == 0.5


def test_every_bounded_parameter_shows_its_bounds() -> None:
    schema = PipelineParameters.model_json_schema()
    bounded = [
        field
        for model in schema["$defs"].values()
        for field in model["properties"].values()
        if "minimum" in field or "exclusiveMinimum" in field
    ]
    assert len(bounded) > 50
    assert all(
        "[at least " in field["description"] or "[more than " in field["description"] for field in bounded
    )
    described = RegistrationParameters.model_fields["levels"].description
    assert described is not None
    assert "[" not in described, "the command line and the documentation write bounds in their own form"


def test_expert_parameters_come_last_and_say_so() -> None:
    schema = PipelineParameters.model_json_schema()
    groups = [model for model in schema["$defs"].values() if model["properties"]]
    for model in groups:
        marks = [bool(field.get("expert")) for field in model["properties"].values()]
        assert marks == sorted(marks)
        titles = [field["title"] for field in model["properties"].values() if field.get("expert")]
        assert all(title.endswith("(expert)") for title in titles)


def test_few_parameters_are_everyday_ones() -> None:
    def everyday(model: type[BaseModel]) -> int:
        count = 0
        for field in model.model_fields.values():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                count += everyday(inner)
            elif not isinstance(field.json_schema_extra, dict):
                count += 1
        return count

    assert 20 <= everyday(PipelineParameters) <= 36
