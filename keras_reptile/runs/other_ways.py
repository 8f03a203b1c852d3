"""The model of tasks that have other ways than training tasks: a shared head has more outputs."""

from keras_reptile.model import new_head
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.reptile_model import ReptileModel


def with_ways(model: ReptileModel, ways: int) -> ReptileModel:
    """Returns the model, with as many outputs as a task has ways if its head is shared."""
    # The outputs of a subclassed network are not known before its first call.
    if model.head == "separate" or model.network.output_shape[-1] == ways:
        return model
    return model.with_head(ways)


def in_words(recipe: Recipe) -> str:
    """Returns the message of a run whose training tasks have other ways, else no text.

    Example:

    >>> in_words(Recipe(ways=5, train_ways=20, head="shared"))
    'Training tasks have 20 ways. Validation and test tasks have 5.'
    """
    if recipe.ways_in_training == recipe.ways:
        return ""
    return (
        f"Training tasks have {recipe.train_ways} ways. Validation and test tasks have "
        f"{recipe.ways}."
    )


class ModelOfTasks:
    """The model that a run validates and tests while it trains.

    It is the trained model, or one with its weights and other outputs. The other is made once, so
    that it is traced once.

    Args:
        recipe: The run's `Recipe`.
        jit_compile: As in `ReptileModel.compile`.
    """

    def __init__(self, recipe: Recipe, jit_compile: bool | str):
        self.recipe, self.jit_compile = recipe, jit_compile
        self.other: ReptileModel | None = None

    def of(self, model: ReptileModel) -> ReptileModel:
        """Returns the model of validation and test tasks with the weights that a model has now."""
        if self.other is None:
            found = with_ways(model, self.recipe.ways)
            if found is model:
                return model
            parallelism = self.recipe.task_parallelism
            found.set_execution(task_parallelism=parallelism, jit_compile=self.jit_compile)
            self.other = found
        else:
            new_head.copy_state(self.other, model)
        return self.other
