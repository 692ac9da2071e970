// A stand-in for libcublasLt on the memory of the host: the functions that gpu/cublaslt.py calls, declared as
// NVIDIA documents them. It refuses what the real one refuses, and what this project never asks for.
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

enum { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum { R_32F = 0, R_64F = 1, COMPUTE_32F = 68, COMPUTE_64F = 70, COMPUTE_32F_FAST_TF32 = 77 };

struct Object { uint32_t kind; };  // what a handle is, so that a swapped argument is seen
struct Handle : Object {};
struct Description : Object { int32_t compute, scale, transposed[2]; };
struct Layout : Object { int32_t type; uint64_t rows, columns; int64_t ld; };
struct Preference : Object { uint64_t workspace; uint32_t schemes, alignment[4]; };
struct Algorithm { uint64_t data[8]; };
struct Heuristic { Algorithm algorithm; size_t workspace; int32_t state; float waves; int32_t reserved[4]; };
enum : uint32_t { HANDLE = 0x48414E44, DESCRIPTION, LAYOUT, PREFERENCE };

struct { uint64_t heuristics, products, schemes, workspace, alignment[4], stream, fails; } seen;

bool is(const void* x, uint32_t kind) { return x && static_cast<const Object*>(x)->kind == kind; }

// The shape of op(X), and whether a layout is one of a dense column-major matrix.
uint64_t rows(const Layout* x, bool t) { return t ? x->columns : x->rows; }
uint64_t columns(const Layout* x, bool t) { return t ? x->rows : x->columns; }
bool fits(const Description* d, const Layout* a, const Layout* b, const Layout* c, const Layout* out) {
    bool ta = d->transposed[0], tb = d->transposed[1];
    bool types = a->type == d->scale && b->type == d->scale && c->type == d->scale && out->type == d->scale;
    return types && rows(a, ta) == rows(out, false) && columns(b, tb) == columns(out, false) &&
           columns(a, ta) == rows(b, tb) && c->rows == out->rows && c->columns == out->columns;
}

// What an algorithm was chosen for: it must not be used for anything else.
Algorithm chosen(const Description* d, const Layout* a, const Layout* b, const Layout* out, const uint64_t* alignment) {
    uint64_t how = d->compute * 4 + d->transposed[0] * 2 + d->transposed[1], aligned = 0;
    for (int i = 0; i < 4; ++i) aligned = aligned << 16 | alignment[i];
    return {{how, a->rows, a->columns, b->rows, b->columns, out->rows, out->columns, aligned}};
}

template <class T> T tf32(T x) { return x; }
template <> float tf32(float x) {  // rounded to 10 bits of mantissa
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x1000) & ~0x1FFFu;
    memcpy(&x, &bits, 4);
    return x;
}

template <class T>
void multiply(const Description* d, const T* alpha, const T* A, const Layout* a, const T* B, const Layout* b,
              const T* beta, const T* C, T* D, const Layout* out) {
    bool ta = d->transposed[0], tb = d->transposed[1], rounded = d->compute == COMPUTE_32F_FAST_TF32;
    for (uint64_t j = 0; j < out->columns; ++j)
        for (uint64_t i = 0; i < out->rows; ++i) {
            double sum = 0;
            for (uint64_t l = 0; l < columns(a, ta); ++l) {
                T x = ta ? A[l + i * a->ld] : A[i + l * a->ld], y = tb ? B[j + l * b->ld] : B[l + j * b->ld];
                sum += rounded ? double(tf32(x)) * double(tf32(y)) : double(x) * double(y);
            }
            T kept = *beta == T(0) ? T(0) : *beta * C[i + j * out->ld];
            D[i + j * out->ld] = T(*alpha * sum) + kept;
        }
}

}  // namespace

extern "C" {

uint64_t standin_seen(int what) { return reinterpret_cast<uint64_t*>(&seen)[what]; }
void standin_fail(int status) { seen.fails = status; }

const char* cublasLtGetStatusName(int32_t status) {
    return status == INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE"
         : status == NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED" : "CUBLAS_STATUS_OTHER";
}

size_t cublasLtGetVersion() { return 130002; }

int32_t cublasLtCreate(void** out) { *out = new Handle{{HANDLE}}; return SUCCESS; }

int32_t cublasLtMatmulDescCreate(void** out, int32_t compute, int32_t scale) {
    bool known = scale == R_64F ? compute == COMPUTE_64F
               : scale == R_32F && (compute == COMPUTE_32F || compute == COMPUTE_32F_FAST_TF32);
    if (!known) return INVALID_VALUE;
    *out = new Description{{DESCRIPTION}, compute, scale, {0, 0}};
    return SUCCESS;
}

int32_t cublasLtMatmulDescSetAttribute(void* x, int32_t attribute, const void* value, size_t size) {
    if (!is(x, DESCRIPTION) || attribute < 3 || attribute > 4 || size != 4) return INVALID_VALUE;
    memcpy(&static_cast<Description*>(x)->transposed[attribute - 3], value, 4);
    return SUCCESS;
}

int32_t cublasLtMatrixLayoutCreate(void** out, int32_t type, uint64_t rows, uint64_t columns, int64_t ld) {
    if (!rows || !columns || ld < int64_t(rows)) return INVALID_VALUE;
    *out = new Layout{{LAYOUT}, type, rows, columns, ld};
    return SUCCESS;
}

int32_t cublasLtMatmulPreferenceCreate(void** out) {
    *out = new Preference{{PREFERENCE}, 0, 7, {256, 256, 256, 256}};
    return SUCCESS;
}

int32_t cublasLtMatmulPreferenceSetAttribute(void* x, int32_t attribute, const void* value, size_t size) {
    auto* preference = static_cast<Preference*>(x);
    if (!is(x, PREFERENCE) || size != (attribute == 1 ? 8 : 4)) return INVALID_VALUE;
    if (attribute == 1) memcpy(&preference->workspace, value, 8);
    else if (attribute == 3) memcpy(&preference->schemes, value, 4);
    else if (attribute >= 5 && attribute <= 8) memcpy(&preference->alignment[attribute - 5], value, 4);
    else return INVALID_VALUE;
    return SUCCESS;
}

int32_t cublasLtMatmulPreferenceDestroy(void* x) {
    if (!is(x, PREFERENCE)) return INVALID_VALUE;
    delete static_cast<Preference*>(x);
    return SUCCESS;
}

int32_t cublasLtMatmulAlgoGetHeuristic(void* handle, void* d, void* a, void* b, void* c, void* out, void* preference,
                                       int32_t wanted, Heuristic* results, int32_t* count) {
    if (!is(handle, HANDLE) || !is(d, DESCRIPTION) || !is(a, LAYOUT) || !is(b, LAYOUT) || !is(c, LAYOUT) ||
        !is(out, LAYOUT) || !is(preference, PREFERENCE) || wanted < 1)
        return INVALID_VALUE;
    auto *D = static_cast<Description*>(d);
    auto *A = static_cast<Layout*>(a), *B = static_cast<Layout*>(b), *OUT = static_cast<Layout*>(out);
    auto* P = static_cast<Preference*>(preference);
    *count = 0;
    if (!fits(D, A, B, static_cast<Layout*>(c), OUT)) return INVALID_VALUE;
    ++seen.heuristics;
    seen.schemes = P->schemes;
    seen.workspace = P->workspace;
    for (int i = 0; i < 4; ++i) seen.alignment[i] = P->alignment[i];
    if (OUT->rows == 13 && OUT->columns == 13) return SUCCESS;  // knows no algorithm for this one
    results[0] = {chosen(D, A, B, OUT, seen.alignment), 1 << 20, SUCCESS, 1, {77, 77, 77, 77}};  // not the state
    *count = 1;
    return SUCCESS;
}

int32_t cublasLtMatmul(void* handle, void* d, const void* alpha, const void* a, void* al, const void* b, void* bl,
                       const void* beta, const void* c, void* cl, void* out, void* outl, const Algorithm* algorithm,
                       void* workspace, size_t size, void* stream) {
    if (seen.fails) { int32_t status = seen.fails; seen.fails = 0; return status; }
    if (!is(handle, HANDLE) || !is(d, DESCRIPTION) || !is(al, LAYOUT) || !is(bl, LAYOUT) || !is(cl, LAYOUT) ||
        !is(outl, LAYOUT) || !alpha || !beta || !a || !b || c != out || !algorithm || !workspace)
        return INVALID_VALUE;
    auto *D = static_cast<Description*>(d);
    auto *A = static_cast<Layout*>(al), *B = static_cast<Layout*>(bl), *OUT = static_cast<Layout*>(outl);
    uint64_t aligned[4];
    for (int i = 0; i < 4; ++i) aligned[i] = algorithm->data[7] >> (16 * (3 - i)) & 0xFFFF;
    const void* pointers[4] = {a, b, c, out};
    for (int i = 0; i < 4; ++i)
        if (!aligned[i] || reinterpret_cast<uintptr_t>(pointers[i]) % aligned[i]) return INVALID_VALUE;
    Algorithm wanted = chosen(D, A, B, OUT, aligned);
    if (!fits(D, A, B, static_cast<Layout*>(cl), OUT) || memcmp(&wanted, algorithm, sizeof wanted)) return INVALID_VALUE;
    if (size < 1 << 20 || reinterpret_cast<uintptr_t>(workspace) % 256) return INVALID_VALUE;
    memset(workspace, 0xFF, size);  // it is there, all of it
    ++seen.products;
    seen.stream = reinterpret_cast<uint64_t>(stream);
    if (D->scale == R_32F)
        multiply(D, static_cast<const float*>(alpha), static_cast<const float*>(a), A, static_cast<const float*>(b), B,
                 static_cast<const float*>(beta), static_cast<const float*>(c), static_cast<float*>(out), OUT);
    else
        multiply(D, static_cast<const double*>(alpha), static_cast<const double*>(a), A, static_cast<const double*>(b),
                 B, static_cast<const double*>(beta), static_cast<const double*>(c), static_cast<double*>(out), OUT);
    return SUCCESS;
}

}
