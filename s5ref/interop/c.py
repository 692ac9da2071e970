"""A trained model as one file of C99: one time step, weights included, no allocation, no dependency.

Weights are hexadecimal constants: exactly the float32 numbers of the model, discretised. In the templates
NAME stands for the prefix of all names.
"""

from __future__ import annotations

import dataclasses
import json
import re
from string import Template

from s5ref.arrays import Array, Leaves
from s5ref.errors import ConfigError
from s5ref.interop.exportable import check_exportable, layers, single, steppers
from s5ref.model.leaves import GATES
from s5ref.model.model import Model
from s5ref.nn.activation import GELU_CUBIC, GELU_SLOPE
from s5ref.nn.norm import LAYER_NORM_EPS

MAIN = """\
#include <stdio.h>
#include "NAME.c"
int main(void) {
    static NAME_state state;
    $type u[NAME_inputs];
    float output[NAME_outputs];
    int i, k;
    for (NAME_init(&state);;) {
        for (i = 0; i < NAME_inputs; ++i) if (scanf("$format", &u[i]) != 1) return 0;
        NAME_step(&state, $given, output);
        for (k = 0; k < NAME_outputs; ++k) printf("%.9g ", (double)output[k]);
        puts("");
    }
}
"""
HEAD = """\
/* An S5 model, one time step at a time. Written by s5ref $version.

   NAME_init(&state) begins a sequence. NAME_step(&state, $u, output) takes $input
   and writes $meaning.
   Nothing is allocated; a state belongs to one sequence. Compile as C99 and link with -lm.
   A program that reads the steps as numbers and prints the outputs, this file being NAME.c:

$main
   Configuration: $config */

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { NAME_inputs = $inputs, NAME_outputs = $outputs }; /* numbers of a step, and of its output */
enum { NAME_H = $H, NAME_P = $P, NAME_layers = $layers }; /* features, states of a layer, layers */

typedef struct {
    float re[NAME_layers][NAME_P], im[NAME_layers][NAME_P]; /* of each layer's SSM */
$pooled} NAME_state;

void NAME_init(NAME_state *state);
void NAME_step(NAME_state *state, $step, float *output);

/* Matrices lie row by row: kernels (inputs, outputs), B (states, features), C (features, states). */
"""
FUNCTIONS = """
static void NAME_dense(
    size_t inputs, size_t outputs, const float *W, const float *b, const float *in, float *out)
{
    size_t i, k;
    memcpy(out, b, outputs * sizeof *out);
    for (i = 0; i < inputs; ++i)
        for (k = 0; k < outputs; ++k) out[k] += in[i] * W[i * outputs + k];
}

/* x <- Lambda_bar x + B_bar u, y = Re(C x) + D u */
static void NAME_ssm(const NAME_layer *w, float *re, float *im, const float *u, float *y)
{
    size_t p, h;
    for (p = 0; p < NAME_P; ++p) {
        float a = w->Lambda_re[p] * re[p] - w->Lambda_im[p] * im[p];
        float b = w->Lambda_re[p] * im[p] + w->Lambda_im[p] * re[p];
        for (h = 0; h < NAME_H; ++h) {
            a += w->B_re[p * NAME_H + h] * u[h];
            b += w->B_im[p * NAME_H + h] * u[h];
        }
        re[p] = a;
        im[p] = b;
    }
    for (h = 0; h < NAME_H; ++h) {
        y[h] = w->D[h] * u[h];
        for (p = 0; p < NAME_P; ++p)
            y[h] += w->C_re[h * NAME_P + p] * re[p] - w->C_im[h * NAME_P + p] * im[p];
    }
}
"""
NORM = {
    "batch": """
static void NAME_normalise(const NAME_layer *w, const float *x, float *out)
{
    size_t h;
    for (h = 0; h < NAME_H; ++h) out[h] = w->scale[h] * ((x[h] - w->mean[h]) * w->rstd[h]) + w->bias[h];
}
""",
    "layer": f"""
static void NAME_normalise(const NAME_layer *w, const float *x, float *out)
{{
    float mean = 0.0f, var = 0.0f;
    size_t h;
    for (h = 0; h < NAME_H; ++h) mean += x[h] / (float)NAME_H;
    for (h = 0; h < NAME_H; ++h) var += (x[h] - mean) * (x[h] - mean) / (float)NAME_H;
    for (h = 0; h < NAME_H; ++h)
        out[h] = w->scale[h] * ((x[h] - mean) / sqrtf(var + {LAYER_NORM_EPS}f)) + w->bias[h];
}}
""",
}
SIGMOID = """
static float NAME_sigmoid(float v) { return 1.0f / (1.0f + expf(-v)); }
"""
GELU = {
    "tanh": f"""
static float NAME_gelu(float v)
{{
    return v * NAME_sigmoid({GELU_SLOPE!r}f * (v + {GELU_CUBIC}f * (v * v * v)));
}}
""",
    "erf": f"""
static float NAME_gelu(float v) {{ return 0.5f * v * erfcf(-v * {0.5**0.5!r}f); }}
""",
}
LOG_SOFTMAX = """
static void NAME_log_softmax(float *y)
{
    float largest = y[0], sum = 0.0f;
    size_t k;
    for (k = 1; k < NAME_outputs; ++k) largest = y[k] > largest ? y[k] : largest;
    for (k = 0; k < NAME_outputs; ++k) sum += expf(y[k] - largest);
    for (k = 0; k < NAME_outputs; ++k) y[k] = y[k] - largest - logf(sum);
}
"""
INIT = """
void NAME_init(NAME_state *state)
{
    memset(state, 0, sizeof *state);
}
"""
MIX = {  # from y and, where there are gates, their arguments h and z; g is gelu(y)
    "gelu": "NAME_gelu(y[h])",
    "half_glu1": "g[h] * NAME_sigmoid(z[h])",
    "half_glu2": "y[h] * NAME_sigmoid(z[h])",
    "full_glu": "v[h] * NAME_sigmoid(z[h])",
}
POOLED = {  # a member of the state, what a step does to it, and what is pooled
    "mean": ("total", "state->total[h] += x[h];", "state->total[h] / state->steps"),
    "max": (
        "largest",
        "if (state->steps == 1.0f || x[h] > state->largest[h]) state->largest[h] = x[h];",
        "state->largest[h]",
    ),
}
ENCODE = {  # whether steps are tokens
    False: "NAME_dense(NAME_inputs, NAME_H, NAME_encoder_kernel, NAME_encoder_bias, u, x);",
    True: "for (h = 0; h < NAME_H; ++h) "
    "x[h] = NAME_encoder_kernel[(size_t)token * NAME_H + h] + NAME_encoder_bias[h];",
}


def to_c(model: Model, params: Leaves, statistics: Leaves, *, tokens: bool = False, name: str = "s5") -> str:
    """The model's time step as C99: what `s5ref.streaming` computes, in float32.

    Parameters
    ----------
    model, params, statistics
        As of `Model.forward`; written in float32.
    tokens : bool
        Whether a step is a token (int), or in_dim reals (float).
    name : str
        Prefix of all names: ``name_state``, ``name_init``, ``name_step``.

    Returns
    -------
    str
        One file, with a program that uses it in the comment at its head: `example`.

    Raises
    ------
    S5Error
        On a model that cannot be exported or has no step: bidirectional, or retrieval; on a name that is no
        identifier of C.
    """
    check_exportable(model, params, statistics)
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
        raise ConfigError(
            f"export: the name must be an identifier of C; got {name!r}.", "Use letters, digits and _."
        )
    config = model.config
    gates = GATES[config.activation]
    parts = [
        _head(model, tokens),
        _weights(model, params, statistics),
        FUNCTIONS,
        NORM[config.norm],
        SIGMOID if gates or config.gelu == "tanh" else "",
        GELU[config.gelu],
        LOG_SOFTMAX if model.head.classifies else "",
        INIT,
        _step(model, tokens),
    ]
    return "".join(parts).replace("NAME", name)


def example(tokens: bool = False, name: str = "s5") -> str:
    """A program around the file ``name``.c: numbers of the steps in, a line of outputs a step out."""
    words = {"type": "int", "format": "%d", "given": "u[0]"} if tokens else {}
    text = Template(MAIN).substitute({"type": "float", "format": "%f", "given": "u"} | words)
    return text.replace("NAME", name)


def _head(model: Model, tokens: bool) -> str:
    from s5ref import __version__

    config = model.config
    meaning = "log-probabilities of the classes" if model.head.classifies else "values"
    when = "of this step" if model.head.stepwise else "of the sequence so far"
    pooled = "".join(f"    float {POOLED[kind][0]}[NAME_H];\n" for kind in _pooled(model))
    return Template(HEAD).substitute(
        version=__version__,
        u="token" if tokens else "u",
        step=_argument(tokens),
        input=f"a token in 0 ... {config.in_dim - 1}" if tokens else f"{config.in_dim} numbers",
        meaning=f"{config.n_classes} {meaning} {when}",
        main="".join(f"   {line}\n" for line in example(tokens, "NAME").splitlines()),
        config=json.dumps(dataclasses.asdict(config)),
        inputs=1 if tokens else config.in_dim, outputs=config.n_classes,
        H=config.d_model, P=config.kept, layers=config.n_layers,
        pooled=f"{pooled}    float steps; /* so far */\n" if pooled else "",
    )  # fmt: skip


def _pooled(model: Model) -> list[str]:
    """The poolings that the state carries."""
    kinds = [] if model.head.stepwise else model.config.pooling.split("+")
    return [kind for kind in kinds if kind in POOLED]


def _weights(model: Model, params: Leaves, statistics: Leaves) -> str:
    """Encoder, decoder, and a struct of arrays for each layer."""
    each = []
    for layer, one in zip(
        layers(model, params, statistics), steppers(model, params, statistics), strict=True
    ):
        arrays = {"Lambda_re": one.Lambda_bar.real, "Lambda_im": one.Lambda_bar.imag}
        arrays |= {"B_re": one.B_bar.real, "B_im": one.B_bar.imag, "C_re": one.C.real, "C_im": one.C.imag}
        arrays |= {"D": one.D, "scale": layer.leaves["norm.scale"], "bias": layer.leaves["norm.bias"]}
        if layer.mean is not None and layer.rstd is not None:
            arrays |= {"mean": layer.mean, "rstd": layer.rstd}
        for gate in GATES[model.config.activation]:
            arrays |= {gate: layer.leaves[f"{gate}.kernel"], f"{gate}_bias": layer.leaves[f"{gate}.bias"]}
        each.append(arrays)
    members = "".join(f"    float {name}[{x.size}];\n" for name, x in each[0].items())
    rows = [
        "    {\n" + "".join(f"        .{name} = {_numbers(x)},\n" for name, x in arrays.items()) + "    },\n"
        for arrays in each
    ]
    own = [
        f"static const float NAME_{part}_{leaf}[{x.size}] = {_numbers(x)};\n"
        for part in ("encoder", "decoder")
        for leaf in ("kernel", "bias")
        for x in [params[f"{part}.{leaf}"]]
    ]
    struct = f"\ntypedef struct {{\n{members}}} NAME_layer;\n"
    table = f"\nstatic const NAME_layer NAME_weights[NAME_layers] = {{\n{''.join(rows)}}};\n"
    return f"{struct}\n{''.join(own)}{table}"


def _numbers(x: Array) -> str:
    """An initialiser: the float32 numbers of an array, row by row, exactly."""
    words = [re.sub(r"\.?0*p", "p", float(v).hex()) + "f" for v in single(x).ravel()]
    lines = [", ".join(words[i : i + 8]) for i in range(0, len(words), 8)]
    return "{" + ",\n         ".join(lines) + "}"


def _argument(tokens: bool) -> str:
    return "int token" if tokens else "const float *u"


def _step(model: Model, tokens: bool) -> str:
    """The function of a step."""
    config, gates, pooled = model.config, GATES[model.config.activation], _pooled(model)
    u = "v" if config.prenorm else "x"
    used = ["x", "y", *["v"] * (config.prenorm or len(gates) == 2), *["g", "z"] * bool(gates)]
    lines = [f"float {', '.join(f'{name}[NAME_H]' for name in used)};", "size_t l, h;", ENCODE[tokens]]
    lines += ["for (l = 0; l < NAME_layers; ++l) {", "    const NAME_layer *w = &NAME_weights[l];"]
    layer = [f"NAME_ssm(w, state->re[l], state->im[l], {u}, y);"]
    if gates:
        layer.append("for (h = 0; h < NAME_H; ++h) g[h] = NAME_gelu(y[h]);")
    for gate, out in zip(reversed(gates), "zv", strict=False):
        layer.append(f"NAME_dense(NAME_H, NAME_H, w->{gate}, w->{gate}_bias, g, {out});")
    layer.append(f"for (h = 0; h < NAME_H; ++h) x[h] += {MIX[config.activation]};")
    norm = f"NAME_normalise(w, x, {u});"
    layer = [norm, *layer] if config.prenorm else [*layer, norm]
    lines += [*(f"    {line}" for line in layer), "}"]
    if pooled:
        lines += ["state->steps += 1.0f;", "for (h = 0; h < NAME_H; ++h) {"]
        lines += [f"    {POOLED[kind][1]}" for kind in pooled]
        lines += [f"    x[h] = {' + '.join(POOLED[kind][2] for kind in pooled)};", "}"]
    lines.append("NAME_dense(NAME_H, NAME_outputs, NAME_decoder_kernel, NAME_decoder_bias, x, output);")
    if model.head.classifies:
        lines.append("NAME_log_softmax(output);")
    body = "".join(f"    {line}\n" for line in lines)
    return f"\nvoid NAME_step(NAME_state *state, {_argument(tokens)}, float *output)\n{{\n{body}}}\n"
