"""An ONNX graph under construction. A value is its name; an array or a number is a constant."""

from __future__ import annotations

import itertools
from typing import Any, TypeAlias

import numpy as np

from s5ref.arrays import Array
from s5ref.errors import optional

Value: TypeAlias = "str | Array | float | list[int]"
OPSET, IR_VERSION = 18, 8  # the first in which all reductions take their axes as an input, and its format


class Graph:
    """Nodes in the order in which they are called; ``g("Add", x, 1.0)`` returns the name of the sum.

    A body, of a loop, has nodes of its own and the constants of the graph around it.
    """

    def __init__(self, outer: Graph | None = None) -> None:
        self.onnx = optional("onnx", "onnx")
        self.nodes: list[Any] = []
        self.constants: list[Any] = [] if outer is None else outer.constants
        self.count: itertools.count[int] = itertools.count() if outer is None else outer.count

    def __call__(self, kind: str, *inputs: Value, **attributes: Any) -> str:
        """A node with one output."""
        name = self.name(kind)
        self.node(kind, [self.value(x) for x in inputs], [name], **attributes)
        return name

    def node(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """A node whose values have names already."""
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, outputs, **attributes))

    def name(self, kind: str) -> str:
        """A new name."""
        return f"{kind}_{next(self.count)}"

    def value(self, x: Value) -> str:
        """The name of a value. Numbers are float32, lists int64; an array keeps its dtype."""
        return x if isinstance(x, str) else self.constant(self.name("constant"), x)

    def constant(self, name: str, x: Array | float | list[int]) -> str:
        """A constant; where an input has its name, the input's default."""
        kind = {list: np.int64, float: np.float32}.get(type(x))
        array = np.ascontiguousarray(np.asarray(x, kind)).reshape(np.shape(x))
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def info(self, name: str, dtype: str, shape: list[int | str] | None) -> Any:
        """The declaration of an input or output: FLOAT, DOUBLE or INT64, with names for what is dynamic."""
        return self.onnx.helper.make_tensor_value_info(name, getattr(self.onnx.TensorProto, dtype), shape)

    def proto(self, inputs: list[Any], outputs: list[Any], constants: bool = True) -> Any:
        """The GraphProto; a body leaves its constants to the graph around it."""
        given = self.constants if constants else []
        return self.onnx.helper.make_graph(self.nodes, "s5ref", inputs, outputs, given)

    def model(self, inputs: list[Any], outputs: list[Any], words: str, facts: dict[str, str]) -> Any:
        """The ModelProto, checked: ``words`` say how it is called, ``facts`` are its metadata."""
        from s5ref import __version__

        opsets = [self.onnx.helper.make_opsetid("", OPSET)]
        model = self.onnx.helper.make_model(
            self.proto(inputs, outputs), opset_imports=opsets, ir_version=IR_VERSION,
            producer_name="s5ref", producer_version=__version__, doc_string=words,
        )  # fmt: skip
        self.onnx.helper.set_model_props(model, {"s5ref": __version__, **facts})
        self.onnx.checker.check_model(model, full_check=True)
        return model
