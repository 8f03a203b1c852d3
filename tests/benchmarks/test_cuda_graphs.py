"""The structure of CUDA graphs, against lists of thunks written by hand."""

import pytest
from accelerators import cuda_graphs
from accelerators.cuda_graphs import Thunk

# A loop whose body has a graph of three and a convolution by itself, then one within a graph.
THUNKS = """\
000: kCommandBuffer [source       | next=003 (1)]
    001: kCopy         [source       | sink        ] kCopy
    002: kCustomKernel [source       | sink        ] wrapped_add grid: [1, 1, 1] threads: [1, 1, 1]
003: kWhile         [prev=000 (1) | next=000 (1)]
condition:
    004: kCommandBuffer [source | sink]
        005: kCustomKernel [source | sink] compare grid: [1, 1, 1] threads: [1, 1, 1]
  body:
    006: kCommandBuffer [source | sink]
        007: kCustomKernel   [source | sink] loop_fusion grid: [5, 1, 1] threads: [128, 1, 1]
        008: kCublasLtMatmul [prev=007 (1) | sink] kCublasLtMatmul
        009: kCustomKernel   [source | sink] loop_fusion grid: [5, 1, 1] threads: [128, 1, 1]
    010: kConvolution [prev=006 (1) | sink] kConvolution
011: kCustomKernel  [prev=003 (1) | sink] loop_add grid: [1, 1, 1] threads: [1, 1, 1]
000: kCommandBuffer [prev=011 (1) | sink        ]
    012: kWhile         [source | sink]
condition:
        013: kCustomKernel [source | sink] compare grid: [1, 1, 1] threads: [1, 1, 1]
      body:
        014: kCustomKernel [source | sink] loop_fusion grid: [5, 1, 1] threads: [128, 1, 1]
        015: kCustomKernel [source | sink] loop_fusion grid: [5, 1, 1] threads: [128, 1, 1]
"""


def test_thunks_lie_in_what_holds_them_and_a_loop_holds_its_body():
    kernel, product = Thunk("kCustomKernel", []), Thunk("kCublasLtMatmul", [])
    body = [Thunk("kCommandBuffer", [kernel, product, kernel]), Thunk("kConvolution", [])]
    assert cuda_graphs.parse(THUNKS) == [
        Thunk("kCommandBuffer", [Thunk("kCopy", []), kernel]),
        Thunk("kWhile", body),
        kernel,
        Thunk("kCommandBuffer", [Thunk("kWhile", [kernel, kernel])]),
    ]


def test_a_graph_in_a_loop_is_launched_in_every_turn_and_a_loop_in_a_graph_with_it():
    assert cuda_graphs.summary(cuda_graphs.parse(THUNKS), [4, 10]) == {
        "graphs": 1 + 4 + 1,
        "launches_in_graphs": 2 + 4 * 3 + 10 * 2,
        "launches_alone": 4 + 1,
        "alone": {"kConvolution": 4, "kCustomKernel": 1},
        "structure": "graph(2), 4 x (graph(3), 1 alone), 1 alone, graph(10 x (2))",
    }


def test_other_loops_than_those_of_the_program_are_refused():
    with pytest.raises(ValueError, match="2 loops of thunks, with the turns of 1 loops"):
        cuda_graphs.summary(cuda_graphs.parse(THUNKS), [4])
