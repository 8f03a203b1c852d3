"""Made-up data of a recipe: the arithmetic does not depend on them."""

import numpy as np

import keras_reptile as kr
from keras_reptile.recipes import building
from keras_reptile.recipes.recipe import SINUSOID, Recipe


def training_pool(recipe: Recipe):
    """Returns classes to train on, of images in the recipe's shape, or its sine waves."""
    if recipe.dataset == SINUSOID:
        return building.load_pools(recipe, None).train
    # 20 images of a class, or as many as a task takes.
    each, classes = max(20, recipe.train_shots + recipe.queries), max(100, recipe.ways_in_training)
    shape = (classes * each, recipe.image_size, recipe.image_size, recipe.channels)
    images = np.random.RandomState(0).randint(0, 256, shape, np.uint8)
    return kr.ClassPool(images, [each] * classes)
