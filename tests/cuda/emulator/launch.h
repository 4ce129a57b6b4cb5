// The functions with which Python starts a kernel: by its name, with pointers to its arguments, like cuLaunchKernel.
#pragma once

#include <cstdio>
#include <string>
#include <type_traits>
#include <utility>

#include "block.h"

namespace emulator {

struct Launch {
    unsigned blocks[3];
    unsigned threads;
    size_t shared;  // bytes
    int reversed;   // whether the last block, warp and lane run first
};

inline void run(const Launch& launch) {
    size_t count = size_t(launch.blocks[0]) * launch.blocks[1] * launch.blocks[2];
    gridDim = {launch.blocks[0], launch.blocks[1], launch.blocks[2]};
    blockDim = {launch.threads, 1, 1};
    reversed_turns = launch.reversed;
    error.clear();
    SharedMemory memory(launch.shared);
    for (size_t i = 0; i < count && error.empty(); i++) {
        size_t n = launch.reversed ? count - 1 - i : i;
        blockIdx.x = n % gridDim.x;
        blockIdx.y = n / gridDim.x % gridDim.y;
        blockIdx.z = n / gridDim.x / gridDim.y;
        memory.poison();
        run_block(launch.threads);
        if (error.empty()) memory.check();
    }
}

// Returns 0, or 1 after an error, with its message.
inline int start(void (*function)(void**), const Launch* launch, void** values, char* message, size_t size) {
    kernel = function;
    arguments = values;
    run(*launch);
    if (error.empty()) return 0;
    std::snprintf(message, size, "block (%u, %u, %u): %s", blockIdx.x, blockIdx.y, blockIdx.z, error.c_str());
    return 1;
}

template <class... A, size_t... I>
void call(void (*function)(A...), void** values, std::index_sequence<I...>) {
    function(*static_cast<std::remove_cv_t<A>*>(values[I])...);
}

template <class... A>
void call(void (*function)(A...), void** values) {
    call(function, values, std::index_sequence_for<A...>());
}

// NumPy's name of a type: "int32", "float32*" for a pointer to such numbers, "bytes16" for a struct of 16 bytes.
template <class T>
std::string name_of() {
    std::string bits = std::to_string(8 * sizeof(std::conditional_t<std::is_void_v<T>, char, T>));
    if constexpr (std::is_pointer_v<T>) return name_of<std::remove_cv_t<std::remove_pointer_t<T>>>() + "*";
    else if constexpr (std::is_void_v<T>) return "void";
    else if constexpr (std::is_same_v<T, bool>) return "bool";
    else if constexpr (std::is_floating_point_v<T>) return "float" + bits;
    else if constexpr (std::is_integral_v<T>) return (std::is_signed_v<T> ? "int" : "uint") + bits;
    else return "bytes" + std::to_string(sizeof(T));
}

template <class... A>
std::string signature(void (*)(A...)) {
    std::string names;
    ((names += name_of<std::remove_cv_t<A>>() + " "), ...);
    return names;
}

constexpr int first(int most_threads, int = 0) { return most_threads; }

}  // namespace emulator

#define EMULATOR_PUBLIC extern "C" __attribute__((visibility("default")))

// EMULATOR_EXPORT(name of a kernel, arguments of its __launch_bounds__)
#define EMULATOR_EXPORT(name, ...)                                                                               \
    EMULATOR_PUBLIC const char* signature_##name() {                                                             \
        static const std::string text = emulator::signature(&name);                                              \
        return text.c_str();                                                                                     \
    }                                                                                                            \
    EMULATOR_PUBLIC int most_threads_##name() { return emulator::first(__VA_ARGS__); }                           \
    EMULATOR_PUBLIC int launch_##name(const emulator::Launch* launch, void** values, char* message, size_t n) { \
        return emulator::start([](void** v) { emulator::call(&name, v); }, launch, values, message, n);          \
    }
