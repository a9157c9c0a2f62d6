# One executable per tests/fuzz/fuzz_*.cpp, with libFuzzer: tests/test_fuzz.py runs each briefly, `make fuzz` for long.
# Only the required libraries are linked, so that the build is quick.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "RTU_EDGE_FUZZ needs clang, for libFuzzer: -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++")
endif()

file(GLOB fuzz_targets CONFIGURE_DEPENDS tests/fuzz/fuzz_*.cpp)
foreach(source IN LISTS fuzz_targets)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz ${PROJECT_SOURCE_DIR}/tests/native)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name} PRIVATE rtu_warnings tl_simulated tl_bridge tl_bus tl_plants tl_protocol)
endforeach()
# What the link needs of the runtime, and nothing else: with sanitizers each file takes long to compile.
add_library(
  fuzz_runtime STATIC native/runtime/clock.cpp native/runtime/record/status.cpp native/runtime/link/clock_fit.cpp
  native/runtime/link/link.cpp native/runtime/link/quality.cpp native/runtime/link/sheet.cpp)
target_link_libraries(fuzz_runtime PUBLIC tl_bridge tl_plants tl_protocol)
target_link_libraries(fuzz_link PRIVATE fuzz_runtime)

# The kernels of a host in single precision, once for the target and for the one with a planted fault.
add_library(fuzz_kernels STATIC native/kernels/isa_scalar.cpp native/kernels/transform_scalar.cpp)
target_include_directories(fuzz_kernels PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_definitions(fuzz_kernels PRIVATE RTU_EDGE_FLOAT_ONLY)
target_link_libraries(fuzz_checkpoint PRIVATE fuzz_kernels)

# It includes firmware, which is written for gcc.
target_compile_options(fuzz_learner PRIVATE -Wno-unknown-attributes)
target_link_libraries(fuzz_learner PRIVATE tl_store)
target_compile_definitions(fuzz_learner PRIVATE TL_LEARNER_MONITOR=1)
