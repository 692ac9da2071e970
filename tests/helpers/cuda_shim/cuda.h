// Executes CUDA kernels on a CPU, for tests: `g++ -x c++ -include cuda.h kernels.cu`, the kernels' text unchanged.
//
// Every CUDA thread of a block is a fiber. Fibers run, one at a time, until each waits or is finished: a shuffle is carried out
// when every lane of its mask has called it, __syncthreads when every live thread stands at the same one. Whatever cannot
// happen so (a lane that has left, a barrier that some threads never reach) is an error of the launch, not a hang; so is an
// access to memory that is not there.
// Blocks run one after the other, or several at a time, each in a process of its own that shares the arrays: then a block that
// waits for another really waits, and one that waits for ever is an error as well. Shared memory holds NaNs when a block begins. The order of the fibers is an argument:
// a missing barrier changes the answer in one of them. Built with ThreadSanitizer, every fiber is a thread that nothing but
// __syncthreads orders; with AddressSanitizer, shared memory has red zones.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_THREAD__)
#define TSAN(...) __VA_ARGS__
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned);
void __tsan_switch_to_fiber(void*, unsigned without_order);
void __tsan_acquire(void*);
void __tsan_release(void*);
}
#else
#define TSAN(...)
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ASAN(...) __VA_ARGS__
extern "C" {
void __sanitizer_start_switch_fiber(void** fake, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* fake, const void** bottom, size_t* size);
}
#else
#define ASAN(...)
#endif
#define UNSEEN __attribute__((noinline, no_sanitize("thread", "address", "undefined")))  // by sanitizers: the shim's own doings

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("cuda_shared")))

extern "C" __attribute__((weak)) char __start_cuda_shared[], __stop_cuda_shared[];

using std::exp;
using std::fabs;
using std::fma;
using std::sqrt;

inline void sincospi(double x, double* s, double* c) {
  const long double r = 3.14159265358979323846264338327950288L * std::remainder((long double)x, 2.0L);
  *s = (double)std::sin(r), *c = (double)std::cos(r);
}
inline void sincospif(float x, float* s, float* c) {
  double sine, cosine;
  sincospi(x, &sine, &cosine);
  *s = (float)sine, *c = (float)cosine;
}

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

namespace shim {

constexpr size_t STACK = 64 << 10;
constexpr int WARP = 32;

enum class State { ready, barrier, collective, finished };

struct Fiber {
  void *stack_pointer = nullptr, *tsan = nullptr;
  const void* stack = nullptr;
  size_t size = STACK;
#if !defined(__x86_64__)
  ucontext_t context;
#endif
  State state = State::ready;
  dim3 thread;
  int lane = 0, source = 0, line = 0;
  unsigned mask = 0;
  alignas(16) unsigned char given[16], taken[16];
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<char*> stacks;
  Fiber scheduler;
  Fiber* running = nullptr;
  dim3 index, size, grid;
  void (*body)(void*) = nullptr;
  void* arguments = nullptr;
  bool alone = true;    // no other block runs meanwhile
  bool inside = false;  // a fiber runs, not the scheduler
  char begun, ended, reached[2];  // what orders threads: their addresses stand for it; barriers have two in turn
  int turn = 0;
  char error[200] = "";
};

inline Block block;

#if defined(__x86_64__)
extern "C" void shim_switch(void** from, void* to);
asm(R"(
.pushsection .text
.weak shim_switch
.type shim_switch, @function
shim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.popsection
)");
#endif

UNSEEN inline void change(Fiber& from, Fiber& to) {
  ASAN(void* fake; __sanitizer_start_switch_fiber(&fake, to.stack, to.size);)
  TSAN(__tsan_switch_to_fiber(to.tsan, 1);)
#if defined(__x86_64__)
  shim_switch(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.context, &to.context);
#endif
  ASAN(__sanitizer_finish_switch_fiber(fake, nullptr, nullptr);)
}

UNSEEN inline void wait() { change(*block.running, block.scheduler); }

UNSEEN inline void run_thread() {
  ASAN(__sanitizer_finish_switch_fiber(nullptr, &block.scheduler.stack, &block.scheduler.size);)
  TSAN(__tsan_acquire(&block.begun);)
  block.body(block.arguments);
  TSAN(__tsan_release(&block.ended);)
  block.running->state = State::finished;
  wait();
}

UNSEEN inline void prepare(Fiber& fiber, char* stack) {
  fiber.stack = stack;
  TSAN(if (!fiber.tsan) fiber.tsan = __tsan_create_fiber(0);)
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(stack + STACK - 64);  // six registers, then where `ret` goes
  top[6] = reinterpret_cast<void*>(run_thread);
  top[7] = nullptr;
  fiber.stack_pointer = top;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = STACK;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, run_thread, 0);
#endif
}

inline bool fail(const char* what, const Fiber& fiber) {
  snprintf(block.error, sizeof block.error, "%s: block %u, thread %u, line %d", what, block.index.x, fiber.thread.x, fiber.line);
  return false;
}

UNSEEN inline void barrier(int line) {
  block.running->state = State::barrier;
  block.running->line = line;
  TSAN(char* here = &block.reached[block.turn]; __tsan_release(here);)
  wait();
  TSAN(__tsan_acquire(here);)
}

// Leaves the thread that made the fault for good, as if it waited.
inline void on_fault(int) {
  fail("memory that is not there", *block.running);
  wait();
}

inline void on_alarm(int) {
  fail("still running", *block.running);
  if (block.inside) wait();
}

// While blocks run: faults, and an alarm after ``patience`` seconds, are errors.
struct Catch {
  static constexpr int SIGNALS[3] = {SIGSEGV, SIGBUS, SIGALRM};
  struct sigaction before[3];
  timer_t alarm;
  Catch(double patience) {
    for (int i = 0; i < 3; i++) {
      struct sigaction ours = {};
      ours.sa_handler = SIGNALS[i] == SIGALRM ? on_alarm : on_fault;
      ours.sa_flags = SA_NODEFER;
      sigaction(SIGNALS[i], &ours, &before[i]);
    }
    struct sigevent event = {};  // to this thread and no other
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event._sigev_un._tid = gettid();
    timer_create(CLOCK_MONOTONIC, &event, &alarm);
    struct itimerspec end = {};
    end.it_value.tv_sec = static_cast<time_t>(patience);
    end.it_value.tv_nsec = static_cast<long>((patience - end.it_value.tv_sec) * 1e9);
    timer_settime(alarm, 0, &end, nullptr);
  }
  ~Catch() {
    timer_delete(alarm);
    for (int i = 0; i < 3; i++) sigaction(SIGNALS[i], &before[i], nullptr);
  }
};

template <class T>
UNSEEN T shuffle(unsigned mask, T value, int source, int line) {
  static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes");
  Fiber& me = *block.running;
  memcpy(me.given, &value, sizeof value);
  me.state = State::collective;
  me.mask = mask;
  me.source = source;
  me.line = line;
  wait();
  memcpy(&value, me.taken, sizeof value);
  return value;
}

// Carries out the shuffles of a warp that all lanes of their mask have reached. A lane outside the mask gives NaN.
UNSEEN inline bool shuffle_warp(Fiber* warp, int lanes, bool& progress) {
  for (int i = 0; i < lanes; i++) {
    if (warp[i].state != State::collective) continue;
    unsigned mask = warp[i].mask;
    if (!(mask >> i & 1)) return fail("a lane that is not in its own mask", warp[i]);
    bool arrived = true;
    for (int j = 0; j < WARP; j++) {
      if (!(mask >> j & 1)) continue;
      if (j >= lanes || warp[j].state == State::finished) return fail("a mask names a lane that has left", warp[i]);
      arrived = arrived && warp[j].state == State::collective && warp[j].mask == mask && warp[j].line == warp[i].line;
    }
    if (!arrived) continue;
    for (int j = 0; j < lanes; j++) {
      if (!(mask >> j & 1)) continue;
      int from = warp[j].source;
      if (mask >> from & 1) memcpy(warp[j].taken, warp[from].given, sizeof warp[j].taken);
      else memset(warp[j].taken, 0xFF, sizeof warp[j].taken);
    }
    for (int j = 0; j < lanes; j++)
      if (mask >> j & 1) warp[j].state = State::ready;
    progress = true;
  }
  return true;
}

// Each warp as far as it comes, its shuffles included, before the next: what a GPU may do, and a missing barrier does not forgive.
UNSEEN inline bool run_block(const std::vector<int>& order) {
  int threads = static_cast<int>(block.fibers.size());
  for (volatile char* at = __start_cuda_shared; at < __stop_cuda_shared; at++) *at = -1;
  TSAN(block.scheduler.tsan = __tsan_get_current_fiber(); __tsan_release(&block.begun);)
  for (int i = 0; i < threads; i++) {
    Fiber& fiber = block.fibers[i];
    fiber.state = State::ready;
    fiber.thread = {static_cast<unsigned>(i), 0, 0};
    fiber.lane = i % WARP;
    prepare(fiber, block.stacks[i]);
  }
  for (;;) {
    for (int begin = 0; begin < threads; begin += WARP) {
      int lanes = std::min(WARP, threads - begin), warp = order[begin] / WARP * WARP;
      for (bool progress = true; progress;) {
        progress = false;
        for (int i = begin; i < begin + lanes; i++) {
          if (block.fibers[order[i]].state != State::ready) continue;
          block.running = &block.fibers[order[i]];
          block.inside = true;
          change(block.scheduler, *block.running);
          block.inside = false;
          if (block.error[0]) return false;
          progress = true;
        }
        if (!shuffle_warp(&block.fibers[warp], lanes, progress)) return false;
      }
    }
    int line = 0;
    for (Fiber& fiber : block.fibers) {
      if (fiber.state == State::collective) return fail("a shuffle that not every lane of its mask reaches", fiber);
      if (fiber.state != State::barrier) continue;
      if (line && fiber.line != line) return fail("threads of one block at different __syncthreads", fiber);
      line = fiber.line;
    }
    if (!line) {
      TSAN(__tsan_acquire(&block.ended);)
      return true;
    }
    block.turn ^= 1;
    for (Fiber& fiber : block.fibers) {
      if (fiber.state == State::finished) return fail("__syncthreads after a thread has left", fiber);
      fiber.state = State::ready;
    }
  }
}

// The threads of a block, warp by warp. order 0: ascending; 1: descending; else shuffled, warps and lanes, seeded with it.
// The number of threads is a multiple of WARP, or below it.
inline std::vector<int> arranged(int threads, unsigned order) {
  uint64_t state = order;
  auto permuted = [&](int n) {
    std::vector<int> result(n);
    for (int i = 0; i < n; i++) result[i] = order == 1 ? n - 1 - i : i;
    for (int i = n; order > 1 && i > 1; i--) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      std::swap(result[i - 1], result[(state >> 33) % i]);
    }
    return result;
  };
  std::vector<int> result;
  for (int warp : permuted((threads + WARP - 1) / WARP))
    for (int lane : permuted(std::min(WARP, threads))) result.push_back(warp * WARP + lane);
  return result;
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_cv_t<A>*>(arguments[I])...);
}

// What the processes of a launch share.
struct Shared {
  std::atomic<unsigned> next{0};
  std::atomic<bool> failed{false};
  char error[200] = "";
};

// Takes blocks one after the other until none is left or one has failed.
template <class Numbered>
void run_blocks(Shared& shared, const Numbered& number, const std::vector<int>& lanes, double patience) {
  Catch catching(patience);
  for (unsigned i; !shared.failed && (i = shared.next++) < block.grid.x;) {
    block.index = {number(i), 0, 0};
    if (!run_block(lanes) && !shared.failed.exchange(true)) memcpy(shared.error, block.error, sizeof shared.error);
  }
}

inline double seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

// ``resident`` processes, ended after ``patience`` seconds.
template <class Numbered>
void run_beside(Shared& shared, const Numbered& number, const std::vector<int>& lanes, unsigned resident, double patience) {
  std::vector<pid_t> running;
  for (unsigned r = 0; r < std::min(resident, block.grid.x); r++) {
    pid_t child = fork();
    if (child == 0) {
      run_blocks(shared, number, lanes, patience);
      _exit(0);
    }
    if (child > 0) running.push_back(child);
  }
  const char* why = running.empty() ? "no process could be started" : nullptr;
  for (double end = seconds() + patience + 1; !running.empty(); usleep(200)) {
    for (size_t r = running.size(); r-- > 0;) {
      int status = 0;
      if (!waitpid(running[r], &status, WNOHANG)) continue;
      running.erase(running.begin() + r);
      if (status && !why) why = "a block ended its process";
    }
    if (seconds() > end && !why) why = "blocks that wait for each other, or for ever";
    if (why || shared.failed)
      for (pid_t child : running) kill(child, SIGKILL);
  }
  if (why && !shared.failed.exchange(true)) snprintf(shared.error, sizeof shared.error, "%s", why);
}

template <class... A>
const char* launch(void (*kernel)(A...), unsigned grid, unsigned threads, void** arguments, unsigned order, unsigned resident,
                   double patience) {
  if (threads > WARP && threads % WARP) return "blocks of whole warps only, here";
  auto body = [&] { call(kernel, arguments, std::index_sequence_for<A...>{}); };
  block.body = [](void* f) { (*static_cast<decltype(body)*>(f))(); };
  block.arguments = &body;
  block.alone = resident == 1;
  block.error[0] = 0;
  block.size = {threads, 1, 1};
  block.grid = {grid, 1, 1};
  block.fibers.resize(threads);
  while (block.stacks.size() < threads) block.stacks.push_back(static_cast<char*>(aligned_alloc(64, STACK)));
  std::vector<int> lanes = arranged(static_cast<int>(threads), order);
  auto number = [&](unsigned i) { return order == 1 ? grid - 1 - i : i; };
  void* page = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return "no memory";
  Shared& shared = *new (page) Shared;
  if (resident == 1) run_blocks(shared, number, lanes, patience);
  else run_beside(shared, number, lanes, resident, patience);
  memcpy(block.error, shared.error, sizeof block.error);
  munmap(page, sizeof(Shared));
  return block.error[0] ? block.error : nullptr;
}

// A parameter list as text: for each "*8 " a pointer to elements of 8 bytes, "=8 " one to constants, "i4 ", "f8 " scalars.
template <class T>
void describe(char*& out) {
  if constexpr (std::is_pointer_v<T>) {
    using To = std::remove_pointer_t<T>;
    out += sprintf(out, "%c%zu ", std::is_const_v<To> ? '=' : '*', sizeof(To));
  } else {
    out += sprintf(out, "%c%zu ", std::is_floating_point_v<T> ? 'f' : 'i', sizeof(T));
  }
}
template <class... A>
const char* signature(void (*)(A...)) {
  static char text[16 * (sizeof...(A) + 1)];
  char* out = text;
  (describe<std::remove_cv_t<A>>(out), ...);
  return text;
}

UNSEEN inline int lane() { return block.running->lane; }

}  // namespace shim

#define threadIdx (shim::block.running->thread)
#define blockIdx (shim::block.index)
#define blockDim (shim::block.size)
#define gridDim (shim::block.grid)

inline void __syncthreads(int line = __builtin_LINE()) { shim::barrier(line); }

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int line = __builtin_LINE()) {
  int lane = shim::lane(), from = lane - static_cast<int>(by);
  return shim::shuffle(mask, value, from < 0 ? lane : from, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int line = __builtin_LINE()) {
  int lane = shim::lane(), from = lane + static_cast<int>(by);
  return shim::shuffle(mask, value, from >= shim::WARP ? lane : from, line);
}

template <class T>
T atomicAdd(T* at, T value) {
  return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}
inline void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

// Who sleeps waits for a block that runs beside it.
inline void __nanosleep(unsigned nanoseconds) {
  if (shim::block.alone) {
    shim::fail("waits for a block that does not run", *shim::block.running);
    shim::wait();
  }
  usleep(nanoseconds / 1000);
}

// One line of these a kernel, appended to its text.
#define SHIM_EXPORT(name)                                                                                          \
  extern "C" const char* shim_launch_##name(unsigned grid, unsigned threads, void** arguments, unsigned order,     \
                                            unsigned resident, double patience) {                                  \
    return shim::launch(name, grid, threads, arguments, order, resident, patience);                                \
  }                                                                                                                \
  extern "C" const char* shim_signature_##name() { return shim::signature(name); }
