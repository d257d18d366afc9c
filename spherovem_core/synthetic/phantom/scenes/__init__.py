"""Scenes of a phantom: one module per trait of real acquisitions, and the list of them.

To add a scene, write a module with a group of parameters that leave it off by default, an `Effect` and `SCENES`; add the
group to the bases of `PhantomParameters`, and `SCENES` and the effect to `registry`.
"""
