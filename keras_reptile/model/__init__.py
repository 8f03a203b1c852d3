"""The base classes of `ReptileModel`, one for each subject that is not the method itself.

How steps are computed (`planned`), which data the entry points of Keras take (`episodes`), and what
a user does with the initialization (`adapting`). Functions of whole models are also here: a model
with a new head, and steps of several models in one program. So are the checks of a support set. The
steps are in `reptile_model`.
"""
