# The compiled modules: rtu_edge._core and rtu_edge._testing (pybind11, over C++), rtu_edge._bridge (cffi, over C).

if(RTU_EDGE_TARGET_INCLUDE)
  # Another Python or processor (tools/wheels.py): scripts run on this host's Python, headers are the target's.
  find_package(Python REQUIRED COMPONENTS Interpreter)
  add_library(rtu_python INTERFACE)
  target_include_directories(rtu_python SYSTEM INTERFACE ${RTU_EDGE_TARGET_INCLUDE})
  set(module_suffix ${RTU_EDGE_TARGET_SUFFIX})
else()
  find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
  add_library(rtu_python ALIAS Python::Module)
  set(module_suffix .${Python_SOABI}.so)
endif()

function(rtu_python_module name)
  add_library(${name} MODULE ${ARGN})
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ${module_suffix})
  target_link_libraries(${name} PRIVATE rtu_python)
  set(map ${PROJECT_SOURCE_DIR}/cmake/module.map)
  target_link_options(${name} PRIVATE -Wl,--version-script=${map})
  set_target_properties(${name} PROPERTIES LINK_DEPENDS ${map})
  # The headers of pybind11 are most of the work: read once for several files, it takes a quarter of the time.
  set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 7)
  # Their names clash with those of other files: Mode, Clock.
  set_source_files_properties(native/bindings/python/bind_supervisor.cpp native/bindings/testing/bind_wire.cpp
    PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  rtu_install(${name} rtu_edge)
endfunction()

file(GLOB core_sources CONFIGURE_DEPENDS native/bindings/python/*.cpp)
if(core_sources)
  set(PYBIND11_NOPYTHON ON)
  find_package(pybind11 3 CONFIG REQUIRED)
  rtu_python_module(_core ${core_sources})
  target_compile_definitions(_core PRIVATE RTU_EDGE_VERSION="${PROJECT_VERSION}")
  target_link_libraries(_core PRIVATE rtu_warnings pybind11::headers rtu_loop rtu_learn)

  # For benchmarks, fault injection and tests; not needed to run a robot.
  file(GLOB testing_sources CONFIGURE_DEPENDS native/bindings/testing/*.cpp)
  rtu_python_module(_testing ${testing_sources} native/bindings/python/configuration.cpp)
  target_link_libraries(_testing PRIVATE rtu_warnings pybind11::headers rtu_testing rtu_loop rtu_learn)
endif()

set(bridge_builder ${PROJECT_SOURCE_DIR}/firmware_bridge/cffi_build.py)
if(EXISTS ${bridge_builder})
  set(bridge_source ${CMAKE_CURRENT_BINARY_DIR}/_bridge.c)
  set(emit_cffi ${PROJECT_SOURCE_DIR}/cmake/emit_cffi.py)
  file(GLOB bridge_headers CONFIGURE_DEPENDS
    firmware_bridge/*.h firmware_bridge/*/*.h firmware_bridge/*/*/*.h firmware_bridge/*/*.cdef)
  add_custom_command(
    OUTPUT ${bridge_source}
    COMMAND ${Python_EXECUTABLE} ${emit_cffi} ${bridge_builder} ${bridge_source}
    DEPENDS ${bridge_builder} ${bridge_headers} ${emit_cffi}
    VERBATIM)
  rtu_python_module(_bridge ${bridge_source})
  # Generated code: compiled without warnings.
  target_compile_options(_bridge PRIVATE -w)
  target_link_libraries(
    _bridge PRIVATE tl_simulated tl_bridge tl_servos_emulated tl_bus_port tl_bus tl_families tl_plants tl_protocol)
endif()
