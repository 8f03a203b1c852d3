"""Launches of compiled HLO, against programs written by hand with known counts."""

import pytest
from accelerators import hlo
from accelerators.launches import launches, summary

# An inner loop of 5 turns whose number XLA has noted, within an outer one of 3 turns whose number
# stands in its condition alone. Costs of a GPU.
LOOPS = """\
HloModule step, is_scheduled=true, entry_computation_layout={(f32[8,4]{1,0})->f32[]}, x={a=1}

%add.clone (a.1: f32[], b.1: f32[]) -> f32[] {
  %a.1 = f32[] parameter(0)
  %b.1 = f32[] parameter(1)
  ROOT %add.9 = f32[] add(%a.1, %b.1)
}

%fused_reduce (p.1: f32[8,4]) -> f32[4] {
  %p.1 = f32[8,4]{1,0} parameter(0)
  %zero.1 = f32[] constant(0)
  %square.1 = f32[8,4]{1,0} multiply(%p.1, %p.1)
  ROOT %reduce.1 = f32[4]{0} reduce(%square.1, %zero.1), dimensions={0}, to_apply=%add.clone
}

%fused_multiply (p.2: f32[4]) -> f32[4] {
  %p.2 = f32[4]{0} parameter(0)
  ROOT %multiply.2 = f32[4]{0} multiply(%p.2, %p.2)
}

%inner_body (i.3: (s32[], f32[4])) -> (s32[], f32[4]) {
  %i.3 = (s32[], f32[4]{0}) parameter(0)
  %n.3 = s32[] get-tuple-element(%i.3), index=0
  %x.3 = f32[4]{0} get-tuple-element(%i.3), index=1
  %dot.3 = (f32[4]{0}, s8[33554432]{0}) custom-call(%x.3), custom_call_target="__cublas$lt$matmul", backend_config={"gemm_backend_config":{"beta":0},"reification_cost":[{"end_to_end_cycles":0,"exec_time_us":0.5,"name":"sol"}]}
  %y.3 = f32[4]{0} get-tuple-element(%dot.3), index=0
  %fusion.3 = f32[4]{0} fusion(%y.3), kind=kLoop, calls=%fused_multiply, metadata={op_name="a while( in a name"}, backend_config={"reification_cost":[{"end_to_end_cycles":2e+03,"exec_time_us":1.25}]}
  ROOT %out.3 = (s32[], f32[4]{0}) tuple(%n.3, %fusion.3)
}

%inner_condition (i.4: (s32[], f32[4])) -> pred[] {
  %i.4 = (s32[], f32[4]{0}) parameter(0)
  %n.4 = s32[] get-tuple-element(%i.4), index=0
  %five.4 = s32[] constant(5)
  ROOT %less.4 = pred[] compare(%n.4, %five.4), direction=LT
}

%outer_body (i.5: (s32[], f32[4])) -> (s32[], f32[4]) {
  %i.5 = (s32[], f32[4]{0}) parameter(0)
  %copy.5 = (s32[], f32[4]{0}) copy(%i.5)
  ROOT %while.5 = (s32[]{:T(128)}, /*index=1*/f32[4]{0:T(8,128)S(1)}) while(%copy.5), condition=%inner_condition, body=%inner_body, backend_config={"known_trip_count":{"n":"5"}}
}

%outer_condition (i.6: (s32[], f32[4])) -> pred[] {
  %three.6 = s32[]{:T(128)} constant(3), metadata={op_name="n"}
  %seven.6 = s32[]{:T(128)} constant(7)
  %i.6 = (s32[]{:T(128)}, f32[4]{0}) parameter(0)
  %n.6 = s32[]{:T(128)} get-tuple-element(%i.6), index=0
  %less.6 = pred[]{:T(512)} compare(%n.6, %three.6), direction=LT
  %also.6 = pred[]{:T(512)} compare(%n.6, %seven.6), direction=LT
  ROOT %both.6 = pred[]{:T(512)} and(%less.6, %also.6)
}

ENTRY %main.7 (x.7: f32[8,4]) -> f32[] {
  %x.7 = f32[8,4]{1,0} parameter(0)
  %start.7 = s32[] constant(0)
  %fusion.7 = f32[4]{0} fusion(%x.7), kind=kInput, calls=%fused_reduce, backend_config={"reification_cost":[{"exec_time_us":16}]}
  %tuple.7 = (s32[], f32[4]{0}) tuple(%start.7, %fusion.7)
  %while.7 = (s32[], f32[4]{0}) while(%tuple.7), condition=%outer_condition, body=%outer_body
  %bitcast.7 = f32[4]{0} get-tuple-element(%while.7), index=1
  ROOT %sum.7 = f32[] reduce(%bitcast.7, %start.7), dimensions={0}, to_apply=%add.clone
}
"""  # noqa: E501
# What a TPU's compiler prints: asynchronous copies, a call, and estimated cycles.
ASYNCHRONOUS = """\
HloModule step, is_scheduled=true

%called (p.1: f32[4]) -> f32[4] {
  %p.1 = f32[4]{0:T(128)} parameter(0)
  ROOT %negate.1 = f32[4]{0:T(128)} negate(%p.1), backend_config={"window_config":{"estimated_cycles":"100"}}
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4]{0:T(128)} parameter(0)
  %copy-start = (f32[4]{0:T(128)S(1)}, f32[4]{0:T(128)}, u32[]{:S(2)}) copy-start(%x)
  %copy-done = f32[4]{0:T(128)S(1)} copy-done(%copy-start)
  %call = f32[4]{0:T(128)} call(%copy-done), to_apply=%called
  %bitcast = f32[4]{0:T(128)} bitcast(%call)
  ROOT %pad = f32[6]{0:T(128)} pad(%bitcast, %x), padding=1_1, backend_config={"estimated_cycles":"1832"}
}
"""  # noqa: E501


def launches_of(text):
    return launches(hlo.parse(text))


def test_a_launch_in_a_loop_counts_once_a_turn():
    # A reduction, 3 turns of a copy and of 5 turns of two launches, another reduction.
    found = [(each.name, each.kind, each.loop, each.turns) for each in launches_of(LOOPS)]
    assert found == [
        ("fusion.7", "reduce", "", 1),
        ("copy.5", "copy", "while.7", 3),
        ("dot.3", "dot", "while.7/while.5", 15),
        ("fusion.3", "element-wise", "while.7/while.5", 15),
        ("sum.7", "reduce", "", 1),
    ]


def test_a_summary_has_the_counts_of_a_run():
    assert summary(launches_of(LOOPS)) == {
        "launches": 1 + 3 * (1 + 5 * 2) + 1,
        "launches_outside_loops": 2,
        "loops": [
            {"name": "while.7", "turns": 3, "launches": 1},
            {"name": "while.7/while.5", "turns": 15, "launches": 2},
        ],
        "kinds": {"dot": 15, "element-wise": 15, "copy": 3, "reduce": 2},
        "kinds_outside_loops": {"reduce": 2},
        "kinds_without_estimate": {"copy": 3, "reduce": 1},
    }


def test_times_of_the_cost_model_are_of_one_launch():
    found = {each.name: each.microseconds for each in launches_of(LOOPS)}
    assert found == {"fusion.7": 16, "copy.5": 0, "dot.3": 0.5, "fusion.3": 1.25, "sum.7": 0}


def test_loops_are_in_the_order_in_which_they_begin():
    assert hlo.trip_counts(hlo.parse(LOOPS)) == [3, 5]


def test_a_loop_whose_turns_xla_has_not_noted_is_counted():
    # The outer one.
    assert hlo.loops_without_count(hlo.parse(LOOPS)) == 1


def test_the_end_of_a_copy_is_no_launch_and_a_call_is_what_it_calls():
    found = [(each.kind, each.turns, each.cycles) for each in launches_of(ASYNCHRONOUS)]
    assert found == [("copy-start", 1, 0), ("negate", 1, 100), ("pad", 1, 1832)]


def test_a_loop_without_a_known_number_of_turns_is_refused():
    text = LOOPS.replace('"known_trip_count":{"n":"5"}', "").replace("direction=LT", "direction=NE")
    with pytest.raises(ValueError, match=r"turns of the loop while\.7 is not in the program"):
        launches_of(text)


def test_text_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="No ENTRY computation in HLO text that begins with 'Hlo"):
        hlo.parse(LOOPS.replace("ENTRY ", ""))


def test_a_loop_without_a_body_is_refused():
    with pytest.raises(ValueError, match=r"No body of while while\.7"):
        launches_of(LOOPS.replace("body=%outer_body", ""))
