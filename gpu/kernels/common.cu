// What every kernel file begins with. Nothing is included: the text is the same for NVRTC, nvcc and g++ with the shim of the tests.
// -DREAL=float or double. Arrays are contiguous; a null pointer is an array that is absent.
#ifndef REAL
#define REAL float
#endif
#define KERNEL extern "C" __global__ void
#define INLINE __device__ __forceinline__
#define ALL 0xffffffffu
#define LANES 32

typedef long long Index;

struct alignas(2 * sizeof(REAL)) Complex {
  REAL re, im;
};

INLINE Complex operator*(Complex a, Complex b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
INLINE Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
INLINE Complex conjugate(Complex a) { return {a.re, -a.im}; }

// a^n by squaring: relatively no worse than n factors one after the other.
INLINE Complex power(Complex a, Index n) {
  Complex result = {1, 0};
  for (; n > 0; n >>= 1) {
    if (n & 1) result = result * a;
    a = a * a;
  }
  return result;
}

INLINE Complex shuffle_up(Complex a, int lanes) {
  return {__shfl_up_sync(ALL, a.re, lanes), __shfl_up_sync(ALL, a.im, lanes)};
}
INLINE Complex shuffle_down(Complex a, int lanes) {
  return {__shfl_down_sync(ALL, a.re, lanes), __shfl_down_sync(ALL, a.im, lanes)};
}

// 1/(1 + e^-x), relatively accurate where it is tiny, and without overflow.
INLINE REAL sigmoid(REAL x) {
  REAL small = exp(-fabs(x));
  return (x >= 0 ? (REAL)1 : small) / (1 + small);
}

// gelu(x) = x sigmoid(a(x)), a = 2c (x + 0.044715 x^3), c = sqrt(2/pi). Beyond 64 it is x or 0, and x^3 does not overflow.
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

// A block over rows x channels of a (rows, channels) array: lanes over 32 channels, warps over the rows of one slab.
// Four such blocks are to fit a multiprocessor; asked for eight, which is the compiler's own choice, it spills in double.
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

// The sum of the warps' values per lane, in their order; the same in every warp. ``room`` must not be in use.
INLINE REAL across_warps(REAL value, REAL (*room)[LANES]) {
  room[threadIdx.x / LANES][threadIdx.x % LANES] = value;
  __syncthreads();
  REAL sum = 0;
  for (int w = 0; w < ROW_WARPS; w++) sum += room[w][threadIdx.x % LANES];
  return sum;
}
