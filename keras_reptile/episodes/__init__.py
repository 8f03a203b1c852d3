"""Few-shot tasks: classes of examples, random sampling, and the format of an episode.

`ClassPool`, `episode_dataset` and the checks of episodes belong here. No module here reads files
or uses a model's methods.
"""
