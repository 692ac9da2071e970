// Every kernel file begins with this text. Nothing is included: NVRTC, nvcc and g++ (with the tests' shim) compile it as it is.
// -DREAL=float or double. Arrays are contiguous; a null pointer is an array that is absent.
#ifndef REAL
#define REAL float
#endif
#define KERNEL extern "C" __global__ void
#define INLINE __device__ __forceinline__
#define FULL_MASK 0xffffffffu
#define LANES 32

typedef long long Index;

struct alignas(2 * sizeof(REAL)) Complex {
  REAL re, im;
};

INLINE Complex operator*(Complex a, Complex b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
INLINE Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
INLINE Complex conjugate(Complex a) { return {a.re, -a.im}; }

// a^n by squaring. The relative error is no larger than that of n successive products.
INLINE Complex power(Complex a, Index n) {
  Complex result = {1, 0};
  for (; n > 0; n >>= 1) {
    if (n & 1) result = result * a;
    a = a * a;
  }
  return result;
}

INLINE Complex shuffle_up(Complex a, int lanes) {
  return {__shfl_up_sync(FULL_MASK, a.re, lanes), __shfl_up_sync(FULL_MASK, a.im, lanes)};
}
INLINE Complex shuffle_down(Complex a, int lanes) {
  return {__shfl_down_sync(FULL_MASK, a.re, lanes), __shfl_down_sync(FULL_MASK, a.im, lanes)};
}

// 1/(1 + e^-x) without overflow, relatively accurate also where it is tiny.
INLINE REAL sigmoid(REAL x) {
  REAL small = exp(-fabs(x));
  return (x >= 0 ? (REAL)1 : small) / (1 + small);
}

// gelu(x) = x sigmoid(a(x)), a = 2c (x + 0.044715 x^3), c = sqrt(2/pi). For |x| > 64 it is x or 0: x is clipped, so
// that x^3 does not overflow.
struct Gelu {
  REAL x, left, right, slope;  // x clipped, sigmoid(a), sigmoid(-a), a'
};
INLINE Gelu gelu(REAL x) {
  const REAL c2 = (REAL)1.5957691216057307117597842397375, cubic = (REAL)0.044715;
  x = x > 64 ? (REAL)64 : x < -64 ? (REAL)-64 : x;  // a NaN stays one
  REAL a = c2 * (x + cubic * (x * x * x));
  return {x, sigmoid(a), sigmoid(-a), c2 * (1 + 3 * cubic * x * x)};
}
INLINE REAL gelu_slope(Gelu g) { return g.left + g.x * g.slope * (g.left * g.right); }

INLINE float one_minus_erf(float x) { return erfcf(x); }
INLINE double one_minus_erf(double x) { return erfc(x); }

// The normal distribution function, relatively accurate in the left tail; and the slope of x cdf(x), with x clipped so
// that x^2 does not overflow.
INLINE REAL normal_cdf(REAL x) { return (REAL)0.5 * one_minus_erf(x * (REAL)-0.70710678118654752440084436210485); }
INLINE REAL gelu_erf_slope(REAL x) {
  x = x > 64 ? (REAL)64 : x < -64 ? (REAL)-64 : x;  // a NaN stays one
  return normal_cdf(x) + x * (exp((REAL)-0.5 * x * x) * (REAL)0.39894228040143267793994605993438);
}

// A block over rows x channels of a (rows, channels) array: lanes over 32 channels, warps over the rows of one slab.
// Kernels ask for four such blocks per multiprocessor. With eight, the compiler's own choice, it spills registers in double.
#define ROW_WARPS 8
struct Slab {
  int channel;
  Index begin, end, number;  // rows of the slab, the slab
  bool inside;
};
INLINE Slab slab_of_block(Index rows, int channels, Index slab_rows) {
  int groups = (channels + LANES - 1) / LANES;
  Index number = blockIdx.x / groups, begin = number * slab_rows;
  int channel = (int)(blockIdx.x % groups) * LANES + (int)(threadIdx.x % LANES);
  return {channel, begin + threadIdx.x / LANES, begin + slab_rows < rows ? begin + slab_rows : rows, number, channel < channels};
}

#define FOR_ROWS \
  if (at.inside) for (Index row = at.begin; row < at.end; row += ROW_WARPS)

// The sum of the warps' values per lane, in their order; the same in every warp. No thread may still use ``scratch``.
INLINE REAL across_warps(REAL value, REAL (*scratch)[LANES]) {
  scratch[threadIdx.x / LANES][threadIdx.x % LANES] = value;
  __syncthreads();
  REAL sum = 0;
  for (int w = 0; w < ROW_WARPS; w++) sum += scratch[w][threadIdx.x % LANES];
  return sum;
}

// Of ``count`` values: the mean, origin + offset, and the sum of squares about it. The origin is one of the values, and differences
// of values near each other are nearly exact, so nothing is rounded at the size of a mean that is far from 0.
struct Moments {
  REAL count, origin, offset, squares;
};

// Chan's combination. Every product that is added is an explicit fma, so that all kernels that use this give the same bits.
INLINE Moments combine(Moments a, Moments b) {
  if (a.count == 0) return b;  // if b is empty, share is 0 and a stays as it is
  REAL count = a.count + b.count, share = b.count / count, step = (b.origin - a.origin) + (b.offset - a.offset);
  return {count, a.origin, fma(step, share, a.offset), fma(step * a.count * share, step, a.squares + b.squares)};
}

// The moments of value(row) over the valid rows of this thread; value is called once for every row. Up to 8 values are taken about
// the first of them: the squares about their mean are at least an eighth of those about the first, so little cancels.
#define BATCH 8
template <class Value>
INLINE Moments moments_of_rows(const Slab& at, const unsigned char* valid, Value value) {
  Moments all = {0, 0, 0, 0};
  if (!at.inside) return all;
  for (Index first = at.begin; first < at.end; first += BATCH * ROW_WARPS) {
    Index end = first + BATCH * ROW_WARPS < at.end ? first + BATCH * ROW_WARPS : at.end;
    REAL count = 0, origin = 0, sum = 0, squares = 0;
    for (Index row = first; row < end; row += ROW_WARPS) {
      REAL x = value(row);
      if (valid && !valid[row]) continue;
      if (count == 0) origin = x;
      REAL away = x - origin;
      count += 1;
      sum += away;
      squares = fma(away, away, squares);
    }
    if (count > 0) all = combine(all, {count, origin, sum / count, fma(-sum, sum / count, squares)});
  }
  return all;
}

// The moments of all warps per lane, combined in their order.
INLINE Moments across_warps(Moments own, Moments (*scratch)[LANES]) {
  scratch[threadIdx.x / LANES][threadIdx.x % LANES] = own;
  __syncthreads();
  Moments all = {0, 0, 0, 0};
  for (int w = 0; w < ROW_WARPS; w++) all = combine(all, scratch[w][threadIdx.x % LANES]);
  return all;
}

// Partial moments are stored as (slabs, 4, H).
INLINE void store_moments(REAL* partial, const Slab& at, int H, Moments m) {
  if (!at.inside || threadIdx.x >= LANES) return;
  REAL* to = partial + at.number * 4 * H + at.channel;
  to[0] = m.count;
  to[H] = m.origin;
  to[2 * H] = m.offset;
  to[3 * H] = m.squares;
}
INLINE Moments load_moments(const REAL* partial, Index slab, int H, int channel) {
  const REAL* from = partial + slab * 4 * H + channel;
  return {from[0], from[H], from[2 * H], from[3 * H]};
}
