"""Steps of the eight stages, one module per stage: what each reads, writes, costs, and how it is computed.

Modules import the stages' packages inside functions, so that the list of steps can be looked at without loading them.
"""
