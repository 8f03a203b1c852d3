from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from keras_reptile.runs import learning_curve


def test_the_band_has_the_colour_of_its_line_where_training_has_none():
    both = {"accuracy": 0.5, "val_accuracy": 0.6, "val_confidence_95": 0.1}
    for left_out in ((), ("accuracy",)):
        row = {k: v for k, v in both.items() if k not in left_out}
        rows = [{"meta_iteration": i, **row} for i in (1, 2)]
        axes = Figure().subplots()
        learning_curve._lines(axes, rows, learning_curve.ACCURACY)
        learning_curve._band(axes, rows, "val_accuracy")
        (validation,) = (x for x in axes.lines if x.get_label() == "validation tasks")
        (band,) = axes.collections
        assert to_rgb(validation.get_color()) == tuple(band.get_facecolor()[0][:3])
