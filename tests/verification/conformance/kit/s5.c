/* A candidate for `s5ref check ./s5`: discretize and scan in C99, spoken to in text.
 * Build: cc -O2 -std=c99 -ffp-contract=off s5.c -o s5 -lm            docs/conformance.md explains the form. */
#include <complex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { char name[32], type[16], text[16]; int rank, shape[3]; long size; double complex *data; } Value;

/* One value: `name none`, `name text word`, or `name type rank shape…` and a line of numbers (%la reads hex). */
static int read_value(Value *v) {
    memset(v, 0, sizeof *v);
    if (scanf("%31s %15s", v->name, v->type) != 2) return 0;
    if (!strcmp(v->type, "none")) return 1;
    if (!strcmp(v->type, "text")) return scanf("%15s", v->text) == 1;
    if (scanf("%d", &v->rank) != 1 || v->rank > 3) return 0;
    v->size = 1;
    for (int i = 0; i < v->rank; i++) {
        if (scanf("%d", &v->shape[i]) != 1) return 0;
        v->size *= v->shape[i];
    }
    v->data = calloc(v->size + 1, sizeof *v->data);
    int is_complex = !strncmp(v->type, "complex", 7);
    for (long i = 0; i < v->size; i++) {
        double re = 0, im = 0;
        if (scanf("%la", &re) != 1 || (is_complex && scanf("%la", &im) != 1)) return 0;
        v->data[i] = re + im * I;
    }
    return 1;
}

static void write_value(const char *name, const char *type, int rank, const int *shape, const double complex *x) {
    long size = 1;
    printf("%s %s %d", name, type, rank);
    for (int i = 0; i < rank; i++) { printf(" %d", shape[i]); size *= shape[i]; }
    printf("\n");
    for (long i = 0; i < size; i++) printf("%a %a ", creal(x[i]), cimag(x[i]));
    printf("\n");
}

static void discretize(Value *a) { /* Lambda (P), Delta () or (P) or (N, L, P), method */
    Value *Lambda = &a[0], *Delta = &a[1], *out = Delta->rank ? Delta : Lambda;
    int zoh = !strcmp(a[2].text, "zoh");
    double complex *bar = malloc(out->size * sizeof *bar), *gain = malloc(out->size * sizeof *gain);
    for (long i = 0; i < out->size; i++) {
        double complex lambda = Lambda->data[i % Lambda->size], d = Delta->data[Delta->rank ? i : 0];
        double complex z = lambda * d, series = 1;
        for (int k = 20; k > 1; k--) series = 1 + z / k * series; /* (e^z - 1)/z, where it would cancel */
        bar[i] = zoh ? cexp(z) : (1 + z / 2) / (1 - z / 2);
        gain[i] = !zoh ? d / (1 - z / 2) : cabs(z) <= 1 ? d * series : (bar[i] - 1) / lambda;
    }
    printf("ok 2\n");
    write_value("Lambda_bar", Lambda->type, out->rank, out->shape, bar);
    write_value("gain", Lambda->type, out->rank, out->shape, gain);
    free(bar), free(gain);
}

static void scan(Value *a) { /* Lambda_bar (P) or (N, L, P), Bu (N, L, P), x0 (N, P) or none, reverse */
    Value *bar = &a[0], *Bu = &a[1], *x0 = &a[2];
    int N = Bu->shape[0], L = Bu->shape[1], P = Bu->shape[2], reverse = creal(a[3].data[0]) != 0;
    double complex *x = malloc(Bu->size * sizeof *x), *last = calloc(N * P + 1, sizeof *last);
    for (int n = 0; n < N; n++)
        for (int p = 0; p < P; p++) {
            double complex state = x0->data ? x0->data[n * P + p] : 0;
            for (int i = 0; i < L; i++) {
                long at = ((long)n * L + (reverse ? L - 1 - i : i)) * P + p;
                state = bar->data[bar->rank == 1 ? p : at] * state + Bu->data[at];
                x[at] = state;
            }
            last[n * P + p] = state;
        }
    printf("ok 2\n");
    write_value("x", Bu->type, 3, Bu->shape, x);
    int shape[2] = {N, P};
    write_value("x_last", Bu->type, 2, shape, last);
    free(x), free(last);
}

int main(void) {
    char verb[8], stage[16];
    int count;
    printf("s5ref 1 text discretize scan\n");
    fflush(stdout);
    while (scanf("%7s %15s %d", verb, stage, &count) == 3) {
        Value a[8];
        for (int i = 0; i < count; i++)
            if (i >= 8 || !read_value(&a[i])) return 1;
        if (!strcmp(stage, "scan")) scan(a); else discretize(a);
        fflush(stdout);
        for (int i = 0; i < count; i++) free(a[i].data);
    }
    return 0;
}
