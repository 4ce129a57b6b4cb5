// Runs the threads of one block as fibers, one at a time.
//
// A thread runs until it waits for others: for its warp (shuffles, votes, the matrix product) or for its block
// (__syncthreads). Then the next thread of the warp runs, and after the whole warp the next warp, either from the first
// to the last or from the last to the first. So each thread runs as far ahead of the others as the barriers allow.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "fiber.h"

struct uint3 {
    unsigned x, y, z;
};
inline uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

constexpr int LANES = 32, MOST_THREADS = 1024;

// The line of a kernel that calls one of the functions below. The constructor is explicit: a number is not a Line.
struct Line {
    int number;
    explicit constexpr Line(int number) : number(number) {}
};

// A call in which a thread waits for the others of its warp or of its block.
struct Call {
    const char* name = nullptr;
    int line = 0;
    bool of_warp = false;

    bool operator!=(const Call& other) const { return name != other.name || line != other.line; }
};

// The data that a lane passes to the other lanes of its warp.
struct Operand {
    unsigned words[6];
};

struct Thread {
    Fiber fiber;
    Call waits;  // the call in which it waits; without a name if it does not wait
    bool ended = false;
    unsigned calls = 0;   // number of its calls so far that wait for the warp
    Operand operands[2];  // of the last two such calls: other lanes may not have read the older one yet
};

inline Thread threads[MOST_THREADS];
inline Thread* running = nullptr;
inline bool reversed_turns = false;
inline std::string error;
inline char* shared_memory = nullptr;

inline void (*kernel)(void**) = nullptr;
inline void** arguments = nullptr;

// Called by a thread of the block: end the launch with this error.
[[noreturn]] inline void fail(const std::string& message) {
    error = message + " (thread " + std::to_string(running - threads) + ")";
    for (;;) running->fiber.pause();
}

inline void wait(const char* name, Line line, bool of_warp) {
    running->waits = {name, line.number, of_warp};
    running->fiber.pause();
}

// Pass `own` to the other lanes of the warp, and wait for theirs; from<T>(i) is then the operand of lane i.
struct Exchange {
    Thread* warp;
    unsigned parity;

    template <class T>
    Exchange(const char* name, Line line, unsigned mask, const T& own) {
        static_assert(sizeof(T) <= sizeof(Operand));
        if (mask != 0xffffffffu) fail(std::string(name) + " without all lanes");
        parity = running->calls++ % 2;
        warp = threads + (running - threads) / LANES * LANES;
        std::memcpy(&running->operands[parity], &own, sizeof own);
        wait(name, line, true);
    }

    template <class T>
    T from(int lane) const {
        T value;
        std::memcpy(&value, &warp[lane].operands[parity], sizeof value);
        return value;
    }
};

inline int lane() { return (running - threads) % LANES; }

inline void thread_main() {
    Fiber::on_start();
    kernel(arguments);
    running->ended = true;
    running->fiber.end();
}

inline std::string describe(const Thread& thread) {
    std::string name = "thread " + std::to_string(&thread - threads);
    if (thread.ended) return name + " has ended";
    return name + " waits in " + thread.waits.name + " at line " + std::to_string(thread.waits.line);
}

// Let `count` threads go on that wait in a call. It is an error if they do not all wait in the same call.
inline void end_waiting(Thread* first, int count, const Thread& waiting) {
    for (Thread* t = first; t < first + count; t++)
        if (t->ended || t->waits != waiting.waits) error = describe(waiting) + ", but " + describe(*t);
    for (Thread* t = first; t < first + count; t++) t->waits = {};
}

// Run a warp until all its threads have ended or wait for the block, or until there is an error.
inline void run_warp(Thread* warp) {
    while (error.empty()) {
        for (int i = 0; i < LANES && error.empty(); i++) {
            running = warp + (reversed_turns ? LANES - 1 - i : i);
            if (running->ended || running->waits.name) continue;
            threadIdx.x = running - threads;
            running->fiber.resume();
        }
        const Thread* waiting = nullptr;
        for (int i = 0; i < LANES && !waiting; i++)
            if (warp[i].waits.of_warp) waiting = warp + i;
        if (!waiting) return;
        if (error.empty()) end_waiting(warp, LANES, *waiting);
    }
}

inline void run_block(int count) {
    for (Thread* t = threads; t < threads + count; t++) {
        t->waits = {};
        t->ended = false;
        t->fiber.begin(thread_main);
    }
    int warps = count / LANES;
    while (error.empty()) {
        for (int i = 0; i < warps; i++) run_warp(threads + LANES * (reversed_turns ? warps - 1 - i : i));
        const Thread* waiting = nullptr;
        for (int i = 0; i < count && !waiting; i++)
            if (!threads[i].ended) waiting = threads + i;
        if (!waiting) return;
        if (error.empty()) end_waiting(threads, count, *waiting);
    }
}

// A block's shared memory, full of NaN, so that reading a place that no thread has written makes NaN of the results.
// Behind the bytes that the launch asks for there are some more, and check() finds out whether they were written. Under
// AddressSanitizer there are none, since it watches the end itself.
class SharedMemory {
   public:
    explicit SharedMemory(size_t bytes) : bytes(bytes), memory(nullptr, std::free) {
        void* start = nullptr;
        if (posix_memalign(&start, 128, bytes + BEHIND)) std::abort();
        memory.reset(static_cast<unsigned char*>(start));
        shared_memory = static_cast<char*>(start);
    }

    void poison() { std::memset(memory.get(), 0xff, bytes + BEHIND); }

    void check() const {
        for (size_t i = bytes; i < bytes + BEHIND; i++)
            if (memory.get()[i] != 0xff)
                error = "wrote behind its " + std::to_string(bytes) + " bytes of shared memory";
    }

   private:
#ifdef __SANITIZE_ADDRESS__
    static constexpr size_t BEHIND = 0;
#else
    static constexpr size_t BEHIND = 4096;
#endif
    size_t bytes;
    std::unique_ptr<unsigned char, void (*)(void*)> memory;
};

}  // namespace emulator

#ifndef __SANITIZE_ADDRESS__
// -fsanitize=alignment,null calls this if a pointer is null or misaligned for its type.
extern "C" [[noreturn]] inline __attribute__((used)) void __ubsan_handle_type_mismatch_v1_abort(void* place,
                                                                                                 size_t pointer) {
    struct Place {
        const char* file;
        unsigned line;
    };
    emulator::fail(std::string(pointer ? "misaligned" : "null") + " pointer used at line " +
                   std::to_string(static_cast<Place*>(place)->line));
}
#endif
