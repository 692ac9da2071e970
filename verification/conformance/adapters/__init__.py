"""Adapters: implementations of others behind the kit's protocol, and the helpers to write one's own.

`field.FIELD` lists the implementations that have an adapter here; the helpers below are for everybody
(docs/adapters.md). Frameworks are imported where they are used.
"""

from s5ref.verification.conformance.adapters.imports import imported as imported
from s5ref.verification.conformance.adapters.leaves import LeafMap as LeafMap
from s5ref.verification.conformance.adapters.leaves import Row as Row
from s5ref.verification.conformance.adapters.leaves import column as column
from s5ref.verification.conformance.adapters.leaves import from_interleaved as from_interleaved
from s5ref.verification.conformance.adapters.leaves import interleaved as interleaved
from s5ref.verification.conformance.adapters.leaves import one_C as one_C
from s5ref.verification.conformance.adapters.leaves import pair as pair
from s5ref.verification.conformance.adapters.leaves import real_and_imaginary as real_and_imaginary
from s5ref.verification.conformance.adapters.leaves import same as same
from s5ref.verification.conformance.adapters.leaves import transposed as transposed
from s5ref.verification.conformance.adapters.parts import attempted as attempted
from s5ref.verification.conformance.adapters.put import equinox_put as equinox_put
from s5ref.verification.conformance.adapters.put import flax_variables as flax_variables
from s5ref.verification.conformance.adapters.put import haiku_params as haiku_params
from s5ref.verification.conformance.adapters.put import over_examples as over_examples
from s5ref.verification.conformance.adapters.put import torch_call as torch_call
