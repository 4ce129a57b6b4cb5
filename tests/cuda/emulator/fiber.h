// A fiber: a function with its own stack, which runs until it pauses, and can later go on from there.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Context: the place at which a stack was left, and how to change from one stack to another.
#if defined(__x86_64__) && defined(__linux__) && !defined(EMULATOR_USES_SWAPCONTEXT)

// Saves the registers that a function must preserve on the current stack, and restores them from the other stack. This
// takes some ten nanoseconds; swapcontext calls the operating system and takes several hundred.
extern "C" __attribute__((visibility("hidden"))) void emulator_switch_stack(void** old_pointer, void* new_pointer);
asm(R"(
    .text
    .globl emulator_switch_stack
    .hidden emulator_switch_stack
    .type emulator_switch_stack, @function
emulator_switch_stack:
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
    .size emulator_switch_stack, .-emulator_switch_stack
)");

namespace emulator {

struct Context {
    void* stack_pointer = nullptr;

    // The stack holds six registers, the function to "return" to, and 0 in place of its caller's address.
    void begin(char* stack, size_t bytes, void (*function)()) {
        void** top = reinterpret_cast<void**>(stack + bytes);
        for (int i = 1; i <= 8; i++) top[-i] = nullptr;
        top[-2] = reinterpret_cast<void*>(function);
        stack_pointer = top - 8;
    }

    void switch_to(Context& next) { emulator_switch_stack(&stack_pointer, next.stack_pointer); }
};

}  // namespace emulator

#else

#include <ucontext.h>

namespace emulator {

struct Context {
    ucontext_t state;

    void begin(char* stack, size_t bytes, void (*function)()) {
        getcontext(&state);
        state.uc_stack.ss_sp = stack;
        state.uc_stack.ss_size = bytes;
        state.uc_link = nullptr;
        makecontext(&state, function, 0);
    }

    void switch_to(Context& next) { swapcontext(&state, &next.state); }
};

}  // namespace emulator

#endif

namespace emulator {

constexpr size_t STACK_BYTES = 256 << 10, GUARD_BYTES = 64 << 10;

// A stack, and what AddressSanitizer needs to know when the program changes to another one.
struct Stack {
    Context context;
    const void* bottom = nullptr;
    size_t bytes = 0;
    void* fake_stack = nullptr;
};

inline Stack main_stack;

inline void switch_stack(Stack& from, Stack& to, [[maybe_unused]] bool for_good = false) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(for_good ? nullptr : &from.fake_stack, to.bottom, to.bytes);
#endif
    from.context.switch_to(to.context);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

class Fiber {
   public:
    // Make the fiber ready to run `function`, which ends by calling end().
    void begin(void (*function)()) {
        if (!stack.bottom) allocate();
        char* bottom = static_cast<char*>(const_cast<void*>(stack.bottom));
#ifdef __SANITIZE_ADDRESS__
        if (abandoned) __asan_unpoison_memory_region(bottom, STACK_BYTES);
#endif
        abandoned = true;  // until it ends
        stack.context.begin(bottom, STACK_BYTES - unused, function);
    }

    // Called from outside: run the fiber until it pauses or ends.
    void resume() { switch_stack(main_stack, stack); }

    // Called by the fiber: on_start() at its start, pause() in between, end() at its end.
    static void on_start() {
#ifdef __SANITIZE_ADDRESS__
        __sanitizer_finish_switch_fiber(nullptr, &main_stack.bottom, &main_stack.bytes);
#endif
    }
    void pause() { switch_stack(stack, main_stack); }
    void end() {
        abandoned = false;
        switch_stack(stack, main_stack, true);
    }

   private:
    Stack stack;
    bool abandoned = false;  // whether the fiber began and did not end
    size_t unused = 0;       // bytes at the top of the stack

    // Below the stack is memory that cannot be accessed, so that an overflow ends the program.
    void allocate() {
        void* memory = mmap(nullptr, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory, GUARD_BYTES, PROT_NONE)) std::abort();
        stack.bottom = static_cast<char*>(memory) + GUARD_BYTES;
        stack.bytes = STACK_BYTES;
        // If all stacks began at the same place of a page, they would compete for the same lines of the cache.
        static size_t fibers = 0;
        unused = fibers++ % 256 * 192;
    }
};

}  // namespace emulator
