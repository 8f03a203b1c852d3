"""Faults in the equations, one at a time, and a fast test that notices each.

A fault that no test noticed would be a test that is missing.
"""

from pathlib import Path

import pytest
import warm
from planted import NOT_PLANTABLE

PACKAGE = Path(__file__).resolve().parents[2] / "keras_reptile"
COMPILED = "execution/test_compiled_tasks.py::"
A_TAIL = COMPILED + "test_a_tail_is_the_last_step_of_a_compiled_task"
IN_SERIES = COMPILED + "test_a_compiled_task_has_the_numbers_of_any_other"

# By module: what is wrong, the text, what is there instead, and the test that notices.
FAULTS = {
    "algorithm.meta_update": [
        (
            "Reptile's sign",
            "return [t - tf.reduce_mean(w, axis=0)",
            "return [tf.reduce_mean(w, axis=0) - t",
            "algorithm/test_meta_update.py::test_reptile_gradient_is_the_distance_to_the_mean_of_each_weight",
        ),
        (
            "a sum of solutions",
            "[t - tf.reduce_mean(w, axis=0)",
            "[t - tf.reduce_sum(w, axis=0)",
            "algorithm/test_meta_update.py::test_reptile_gradient_is_the_distance_to_the_mean_of_each_weight",
        ),
        (
            "FOMAML's sign",
            "tf.reduce_mean(b - w, axis=0)",
            "tf.reduce_mean(w - b, axis=0)",
            "algorithm/test_meta_update.py::test_fomaml_gradient_is_the_mean_of_the_last_steps_backwards",
        ),
        (
            "a sum of MAML's gradients",
            "[tf.reduce_mean(g, axis=0)",
            "[tf.reduce_sum(g, axis=0)",
            "algorithm/test_meta_update.py::test_maml_gradient_is_the_mean_over_tasks",
        ),
        (
            "a meta-step size by a parabola",
            "power=1.0",
            "power=2.0",
            "algorithm/test_meta_update.py::test_the_meta_step_is_linear_and_then_constant",
        ),
    ],
    "algorithm.methods": [
        (
            "FOMAML from the initialization",
            "fomaml_gradient(tasks.before_last,",
            "fomaml_gradient(theta,",
            "algorithm/test_meta_update.py::test_the_methods_by_hand[parallel-fomaml-2-0.16]",
        ),
    ],
    "algorithm.adaptation": [
        (
            "the same minibatch at every step",
            "minibatch = order[k - base]",
            "minibatch = order[0]",
            "algorithm/test_adaptation.py::test_the_path_by_hand",
        ),
        (
            "the last loss as the first",
            "tf.where(k == 0, loss, first_loss)",
            "loss",
            "algorithm/test_adaptation.py::test_the_path_by_hand",
        ),
        (
            "no weight decay",
            "tuple(rate * w for w in weights)",
            "tuple(weights)",
            "algorithm/test_adaptation.py::test_weight_decay_multiplies_the_weights_before_each_step",
        ),
        (
            "weight decay that is not derived",
            "tape.gradient(weights, theta, output_gradients=gradients)",
            "tape.gradient(before.weights, theta, output_gradients=gradients)",
            "algorithm/test_adaptation.py::test_what_the_methods_keep_by_hand",
        ),
        (
            "the last minibatch for the tail",
            "_after(so_far, loss_fn, optimizer, tail, rows",
            "_after(so_far, loss_fn, optimizer, order[-1], rows",
            "algorithm/test_adaptation.py::test_the_tail_is_one_more_step_on_a_minibatch_of_its_own_size",
        ),
        (
            "the weights after the last step",
            "before_last=before.weights",
            "before_last=after.weights",
            "algorithm/test_adaptation.py::test_what_the_methods_keep_by_hand",
        ),
        (
            "MAML without the inner loop's derivative",
            "tape.gradient(weights, theta, output_gradients=gradients)",
            "gradients",
            "algorithm/test_adaptation.py::test_what_the_methods_keep_by_hand",
        ),
        (
            "MAML without the derivative by the weights that stay",
            "tape.gradient(weights, theta, output_gradients=gradients)",
            "gradients",
            "algorithm/test_partial_adaptation.py::"
            "test_outer_gradients_are_those_worked_out[maml-eagerly-1.0]",
        ),
    ],
    "algorithm.partial_adaptation": [
        (
            "losses where the recorded steps lead",
            "tf.stop_gradient(t) + (w - tf.stop_gradient(w))",
            "w",
            "algorithm/test_partial_adaptation.py::"
            "test_outer_gradients_are_those_worked_out[reptile-eagerly-0.9]",
        ),
    ],
    "algorithm.inner_loop": [
        (
            "no penalties of layers",
            "weights[0].dtype)) + penalty",
            "weights[0].dtype))",
            "algorithm/test_adaptation.py::test_the_penalty_of_a_layer_is_in_the_loss_of_each_step",
        ),
        (
            "the same random numbers at every step",
            '*task["number"], step]',
            '*task["number"], 0 * step]',
            "algorithm/test_random_layers.py::"
            "test_in_training_each_has_a_mask_of_its_own[an inner step]",
        ),
    ],
    "algorithm.inner_optimizers": [
        (
            "a schedule across tasks",
            "a = at_step(self.learning_rate, k,",
            "a = at_step(self.learning_rate, state.step,",
            "algorithm/test_inner_optimizers.py::test_a_schedule_counts_the_steps_of_each_task[compiling0-arguments0]",
        ),
        (
            "updates counted from 0",
            "t = tf.cast(step + 1, dtype)",
            "t = tf.cast(step, dtype)",
            "algorithm/test_inner_optimizers.py::test_adam_by_hand",
        ),
        (
            "a correction without its root",
            "correction = tf.sqrt(1 - tf.pow",
            "correction = tf.abs(1 - tf.pow",
            "algorithm/test_inner_optimizers.py::test_adam_by_hand",
        ),
        (
            "epsilon within the root",
            "(root(v) + self.epsilon)",
            "root(v + self.epsilon)",
            "algorithm/test_inner_optimizers.py::test_adams_epsilon_stands_outside_the_root",
        ),
        (
            "the first moment uncorrected",
            "correction /= 1 -",
            "correction /= 1 - 0 *",
            "algorithm/test_inner_optimizers.py::test_a_rule_takes_the_steps_of_the_keras_optimizer[adam]",
        ),
        (
            "betas mixed up",
            "(1 - self.beta_1) * g",
            "(1 - self.beta_2) * g",
            "algorithm/test_inner_optimizers.py::test_a_rule_takes_the_steps_of_the_keras_optimizer[adam]",
        ),
        (
            "the gradient for its square",
            "tf.square(g)",
            "tf.abs(g)",
            "algorithm/test_inner_optimizers.py::test_adam_by_hand",
        ),
        (
            "momentum for Nesterov's",
            "        if self.nesterov:",
            "        if False:",
            "algorithm/test_inner_optimizers.py::test_a_rule_takes_the_steps_of_the_keras_optimizer[nesterov]",
        ),
        (
            "the root's derivative twice as large",
            "divide_no_nan(upstream, 2 * r)",
            "divide_no_nan(upstream, r)",
            "algorithm/test_maml.py::test_the_gradient_is_that_of_finite_differences[adam-None-smooth_dense]",
        ),
    ],
    "reptile_model": [
        (
            "moments that are not carried",
            "            self._carried.assign(state)",
            "            pass",
            "algorithm/test_adaptation.py::test_the_moments_are_carried_by_the_stated_rule[parallel]",
        ),
    ],
    "execution.outcome": [
        (
            "the first task's moments",
            "mean = lambda s: tf.reduce_mean(s, axis=0)",
            "mean = lambda s: s[0]",
            "algorithm/test_adaptation.py::test_the_moments_are_carried_by_the_stated_rule[parallel]",
        ),
        (
            "the first task's moments in series",
            "lambda s: s[-1]",
            "lambda s: s[0]",
            "algorithm/test_adaptation.py::test_the_moments_are_carried_by_the_stated_rule[serial]",
        ),
    ],
    "algorithm.losses": [
        (
            "the mean for the sum",
            "return tf.reduce_sum if",
            "return tf.reduce_mean if",
            "algorithm/test_maml.py::test_a_summed_loss_is_derived_as_a_sum",
        ),
    ],
    "metrics.student_t": [
        (
            "a one-sided interval",
            "Z_95 = 1.959964",
            "Z_95 = 1.644854",
            "metrics/test_student_t.py::test_the_series_goes_on_where_the_table_ends",
        ),
        (
            "a one-sided quantile",
            "< 0.95",
            "< 0.90",
            "metrics/test_student_t.py::test_quantiles_are_those_of_published_tables",
        ),
    ],
    "metrics.accuracy": [
        (
            "a prediction that is no number counts as the first class",
            "correct * tf.reshape(numbers, tf.shape(correct))",
            "correct",
            "metrics/test_accuracy.py::test_tasks_of_labels_for_every_place_have_the_share_that_numpy_finds",
        ),
    ],
    "metrics.confidence": [
        (
            "the biased variance",
            "values.std(ddof=1)",
            "values.std(ddof=0)",
            "model/test_evaluation.py::test_the_interval_is_that_of_the_textbook",
        ),
        (
            "the metric's biased variance",
            "/ (n - 1)",
            "/ n",
            "model/test_evaluation.py::test_the_interval_is_that_of_the_textbook",
        ),
        (
            "noise taken for differences between classes",
            "between - noise",
            "between",
            "model/test_evaluation.py::test_the_interval_over_classes_takes_off_what_is_the_tasks_noise",
        ),
        (
            "a normal distribution's quantile for few classes",
            "student_t.quantile(n - 1) * ways",
            "1.959964 * ways",
            "model/test_evaluation.py::test_the_interval_over_few_classes_by_hand",
        ),
        (
            "an interval over classes without the jackknife's factor",
            "(n - 1) / (n - ways) * np.sqrt",
            "np.sqrt",
            "model/test_evaluation.py::"
            "test_the_interval_over_classes_is_the_spread_of_other_choices_of_classes",
        ),
    ],
    "kernels.batch_normalization": [
        (
            "a bias left out along another axis",
            "if layer.axis in (-1, inputs.shape.rank - 1):",
            "if True:",
            "kernels/test_convolution_biases.py::test_a_bias_before_normalization_along_another_axis_is_added",
        ),
        (
            "another epsilon in the fused operation",
            "epsilon=epsilon,",
            "epsilon=2 * epsilon,",
            "kernels/test_batch_normalization.py::test_the_fused_operation_is_the_equation",
        ),
        (
            "another epsilon in the equation",
            "x - mean), x) / n + epsilon",
            "x - mean), x) / n + 2 * epsilon",
            "kernels/test_batch_normalization.py::test_the_plain_operations_are_the_equation",
        ),
        (
            "values that are not centred",
            "z = r * (x - mean)",
            "z = r * x",
            "kernels/test_batch_normalization.py::test_the_plain_operations_are_the_equation",
        ),
        (
            "a gradient along the mean",
            "r * (dy - dbeta / n - z",
            "r * (dy - z",
            "kernels/test_batch_normalization.py::test_the_written_out_gradients_are_the_derived_ones",
        ),
        (
            "a gradient along the scale",
            " - z * (dgamma / n))",
            ")",
            "kernels/test_batch_normalization.py::test_the_written_out_gradients_are_the_derived_ones",
        ),
        (
            "a gradient of the scale that is a mean",
            ", dgamma, dbeta",
            ", dgamma / n, dbeta",
            "kernels/test_batch_normalization.py::test_the_written_out_gradients_are_the_derived_ones",
        ),
    ],
    "kernels.patch_convolution": [
        (
            "the larger margin before",
            "return total // 2, total - total // 2",
            "return total - total // 2, total // 2",
            "kernels/test_patch_convolution.py::test_margins_are_tensorflows",
        ),
        (
            "steps without dilation",
            "slice(k * step, k * step + ends[axis], stride)",
            "slice(k, k + ends[axis], stride)",
            "kernels/test_patch_convolution.py::test_values_and_gradients_are_those_of_keras",
        ),
        (
            "a kernel's gradient not turned back",
            "return product if turned is p else tf.transpose(product)",
            "return product",
            "kernels/test_patch_convolution.py::test_values_and_gradients_are_those_of_keras",
        ),
        (
            "patches folded back a place off",
            "slice(before, before + n)",
            "slice(0, n)",
            "kernels/test_patch_convolution.py::test_folding_is_the_adjoint_of_taking_patches",
        ),
    ],
    "kernels.image_groups": [
        (
            "groups counted from the second",
            "start = (tf.cast(never, tf.int32),",
            "start = (1 + tf.cast(never, tf.int32),",
            "kernels/test_image_groups.py::test_groups_give_what_all_at_once_give",
        ),
        (
            "the gradient of the last group alone",
            "dw + tf.cast(more, precise)",
            "0 * dw + tf.cast(more, precise)",
            "kernels/test_image_groups.py::test_groups_give_what_all_at_once_give",
        ),
        (
            "groups that do not divide all images",
            " if images % n == 0",
            "",
            "kernels/test_image_groups.py::test_groups_fit_in_the_cache_and_divide_all_images",
        ),
    ],
    "kernels.max_pooling": [
        (
            "the last of the largest",
            "in reversed(list(enumerate(at_offsets)))",
            "in list(enumerate(at_offsets))",
            "kernels/test_max_pooling.py::test_values_and_gradients_are_those_of_keras",
        ),
        (
            "a margin of zeros",
            "before, after, x.dtype.min)",
            "before, after, 0)",
            "kernels/test_max_pooling.py::test_values_and_gradients_are_those_of_keras",
        ),
    ],
    "kernels.normalized_pooling": [
        (
            "the largest of a negative scale",
            "tf.where(gamma < 0, -x, x)",
            "x",
            "kernels/test_normalized_pooling.py::"
            "test_values_and_gradients_are_those_of_one_after_the_other",
        ),
        (
            "a gradient along the mean of what is left",
            "(to_largest - dbeta / n - r",
            "(to_largest - r",
            "kernels/test_normalized_pooling.py::"
            "test_values_and_gradients_are_those_of_one_after_the_other",
        ),
        (
            "means over what is left",
            "n = tf.cast(tf.shape(_rows(x))[0], x.dtype)\n    z_star",
            "n = tf.cast(tf.shape(_rows(dy))[0], x.dtype)\n    z_star",
            "kernels/test_normalized_pooling.py::"
            "test_values_and_gradients_are_those_of_one_after_the_other",
        ),
        (
            "a gradient of the scale by all that is left alike",
            "sum_of_rows(tf.multiply, z_star, of_dy)",
            "sum_of_rows(lambda z, dy: dy, z_star, of_dy)",
            "kernels/test_normalized_pooling.py::"
            "test_values_and_gradients_are_those_of_one_after_the_other",
        ),
    ],
    "kernels.row_sums": [
        (
            "the first block alone",
            "for b in zip(*cut, strict=True)]",
            "for b in list(zip(*cut, strict=True))[:1]]",
            "kernels/test_row_sums.py::test_sums_are_numpys",
        ),
        (
            "blocks that leave rows out",
            " if number % n == 0",
            "",
            "kernels/test_row_sums.py::test_many_rows_are_cut_into_equal_blocks",
        ),
    ],
    "kernels.convolution_biases": [
        (
            "a mean for the sum",
            "ones @ rows,",
            "ones @ rows / tf.reduce_sum(ones),",
            "kernels/test_convolution_biases.py::test_the_gradient_is_the_sum_over_the_batch_and_all_places",
        ),
        (
            "a bias left out before an activation",
            "if layer.activation not in (None, keras.activations.linear):",
            "if False:",
            "kernels/test_convolution_biases.py::test_a_bias_before_an_activation_is_added",
        ),
    ],
    "episodes.sampling": [
        (
            "a tail that the minibatches see",
            "[:, spec.drawn_shots :].ravel()",
            "[:, : spec.tail_shots].ravel()",
            "episodes/test_episode_dataset.py::test_the_tail_is_kept_apart_from_the_minibatches_before_it[cycling]",
        ),
    ],
    "episodes.meta_batches": [
        (
            "queries out of the support set",
            "images[..., spec.shots :]",
            "images[..., : spec.queries]",
            "episodes/test_episode_dataset.py::test_a_task_has_distinct_classes_distinct_images_and_no_query_in_its_support",
        ),
    ],
    "execution.core_schedule": [
        (
            "the first steps of a task twice",
            "steps - here if done == 0 else 0",
            "0",
            "execution/test_core_schedule.py::test_every_step_is_in_one_piece_and_no_core_has_more_than_its_share",
        ),
    ],
    "execution.compiled_tasks": [
        (
            "a sum of compiled tasks",
            " / len(values)",
            "",
            f"{A_TAIL}[2-2-fomaml-carried]",
        ),
        (
            "the mean of compiled tasks in series",
            "        if plan.in_series\n",
            "        if False\n",
            f"{IN_SERIES}[fomaml in series]",
        ),
    ],
    "execution.weight_vectors": [
        (
            "weights in another order",
            "zip(positions, tf.split",
            "zip(reversed(positions), tf.split",
            "execution/test_weight_vectors.py::test_unpacking_gives_the_weights_back",
        ),
    ],
    "algorithm.loss_scaling": [
        (
            "gradients left scaled",
            "tuple(g / self.scale for g in gradients)",
            "tuple(gradients)",
            "algorithm/test_loss_scaling.py::test_scaling_by_itself_changes_no_number[reptile]",
        ),
    ],
}
EACH = [(module, *fault) for module, faults in FAULTS.items() for fault in faults]


def status_of(module, text, replacement, test):
    """The exit status of pytest on one test, with this replacement in a module's source."""
    return warm.ask("planted.py", module, text, replacement, [f"tests/{test}"])


def test_the_text_of_each_fault_is_in_its_module_once():
    for module, name, text, *_ in EACH:
        path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
        assert path.read_text().count(text) == 1, f"{name}: change FAULTS"


@pytest.mark.slow
@pytest.mark.process
def test_without_a_fault_the_same_tests_pass():
    module, _, text, _, test = EACH[0]
    assert status_of(module, text, text, test) == pytest.ExitCode.OK
    assert status_of(module, "no such text", "", test) == NOT_PLANTABLE


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("module", "name", "text", "replacement", "test"), EACH, ids=[e[1] for e in EACH]
)
def test_a_planted_fault_is_noticed(module, name, text, replacement, test):
    assert status_of(module, text, replacement, test) == pytest.ExitCode.TESTS_FAILED
