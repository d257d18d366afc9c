"""Steps of the eight stages, one module per stage: inputs, outputs, costs and computation of each step.

Modules import the stages' packages inside functions, so that the list of steps can be looked at without loading them.
"""
