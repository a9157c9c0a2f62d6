# Only by name, never by `all`: the tests ask for them in the package's own build folder (tests/toolchain.py).

# Compiled only: the learners are templates, and tools inspect their code here.
add_library(rtu_instances OBJECT EXCLUDE_FROM_ALL tests/native/freestanding.cpp)
target_compile_options(rtu_instances PRIVATE ${rtu_freestanding})
target_link_libraries(rtu_instances PRIVATE rtu_warnings rtu_learn)
if(RTU_EDGE_QUICK)
  target_compile_options(rtu_instances PRIVATE -O1)
endif()

if(CMAKE_SYSTEM_NAME STREQUAL "Generic")
  target_sources(rtu_instances PRIVATE native/bindings/c/rtu_edge.cpp)
  return()
endif()

# tests/test_c.py compares the C library with Python; tests/test_c_library.py installs it.
include(cmake/c_library.cmake)
set_target_properties(rtu_edge rtu_edge_static rtu_edge_object PROPERTIES EXCLUDE_FROM_ALL ON)

# One executable per tests/{native,firmware}/test_*.{c,cpp}; exit code 0 means passed. pytest runs them:
# tests/test_native.py. tests/native/count_*.cpp are counted by tests/test_instructions.py.

file(GLOB native_tests CONFIGURE_DEPENDS tests/native/test_*.cpp tests/native/test_*.c tests/native/count_*.cpp)
file(GLOB firmware_tests CONFIGURE_DEPENDS tests/firmware/test_*.c)

foreach(source IN LISTS native_tests firmware_tests)
  get_filename_component(name ${source} NAME_WE)
  get_filename_component(folder ${source} DIRECTORY)
  get_filename_component(folder ${folder} NAME)
  set(target ${folder}_${name})
  add_executable(${target} EXCLUDE_FROM_ALL ${source})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/${folder})
  target_compile_definitions(${target} PRIVATE _DEFAULT_SOURCE _XOPEN_SOURCE=700)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/${folder})
  target_link_libraries(${target} PRIVATE rtu_warnings)
  if(folder STREQUAL "native")
    target_link_libraries(${target} PRIVATE rtu_testing rtu_c rtu_loop rtu_learn)
  endif()
  target_link_libraries(
    ${target} PRIVATE tl_stm32f405_drivers tl_store tl_simulated tl_bridge tl_servos_emulated tl_bus tl_families
    tl_plants tl_protocol m)
  # Tests assert() also in a release build. Optimised less than the libraries: quicker to compile, and gcc 12 for
  # aarch64 fails with an internal error at -O3.
  target_compile_options(${target} PRIVATE -O1 -UNDEBUG -Wno-conversion)
endforeach()
# The learner is a template, compiled here with the flags of the release.
target_compile_options(native_count_control PRIVATE -O2)

# The host's half of a comparison with the emulated microcontroller: tests/test_qemu_cell.py.
add_executable(cortex_cell_host EXCLUDE_FROM_ALL tests/firmware/cortex/cell_host.cpp)
target_link_libraries(cortex_cell_host PRIVATE rtu_warnings rtu_learn)
add_executable(cortex_learner_host EXCLUDE_FROM_ALL tests/firmware/cortex/learner_host.cpp)
target_link_libraries(cortex_learner_host PRIVATE rtu_warnings rtu_learn tl_plants)
add_executable(cortex_learner_host_shared tests/firmware/cortex/learner_host.cpp)
target_compile_definitions(cortex_learner_host_shared PRIVATE TL_LEARNER_SHARED=1)
target_link_libraries(cortex_learner_host_shared PRIVATE rtu_warnings rtu_learn tl_plants)
# That of the micro:bit: rtu_edge.device.boards.build_learner.
add_executable(cortex_learner_host_small EXCLUDE_FROM_ALL tests/firmware/cortex/learner_host.cpp)
target_compile_definitions(cortex_learner_host_small PRIVATE TL_LEARNER_SHARED=1 TL_LEARNER_SIZES=2,8,8)
target_link_libraries(cortex_learner_host_small PRIVATE rtu_warnings rtu_learn tl_plants)
