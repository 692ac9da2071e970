// AdamW over one flat buffer of all parameters. ends (segments): where each leaf ends in it. settings: 1 - b1^t, 1 - b2^t, then
// the rate of every segment, then its weight decay; they live in device memory, so that a captured graph can be replayed with
// new ones. An output may be the input it replaces. guard: two numbers, or null; nothing changes where one is not finite.
KERNEL adamw(const REAL* p, const REAL* __restrict__ g, const REAL* m, const REAL* v, const Index* __restrict__ ends,
    const REAL* __restrict__ settings, const REAL* __restrict__ guard, REAL* new_p, REAL* new_m, REAL* new_v, Index size,
    int segments) {
  Index i = blockIdx.x * (Index)blockDim.x + threadIdx.x;
  if (i >= size) return;
  if (guard && !(guard[0] - guard[0] + (guard[1] - guard[1]) == 0)) return;
  int low = 0, high = segments - 1;
  while (low < high) {  // the first segment that ends after i
    int middle = (low + high) / 2;
    if (ends[middle] > i) high = middle;
    else low = middle + 1;
  }
  const REAL b1 = (REAL)0.9, b2 = (REAL)0.999, rest1 = (REAL)(1.0 - 0.9), rest2 = (REAL)(1.0 - 0.999), eps = (REAL)1e-8;
  REAL first = b1 * m[i] + rest1 * g[i], second = b2 * v[i] + rest2 * (g[i] * g[i]);
  REAL step = first / settings[0] / (sqrt(second / settings[1]) + eps) + settings[2 + segments + low] * p[i];
  REAL moved = p[i] - settings[2 + low] * step;
  new_p[i] = moved;
  new_m[i] = first;
  new_v[i] = second;
}
