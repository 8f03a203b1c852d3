"""Few-shot tasks: classes of examples, the random draws, and the dicts that hold a task.

Here belong `ClassPool`, `episode_dataset` and the format of an episode. Nothing here reads files
or knows a model's methods.
"""
