# The two compiled modules: rtu_edge._core (pybind11, over C++) and rtu_edge._bridge (cffi, over C).

find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)

file(GLOB core_sources CONFIGURE_DEPENDS native/bindings/python/*.cpp)
if(core_sources)
  find_package(pybind11 3 CONFIG REQUIRED)
  # NO_EXTRAS: no link-time optimisation.
  pybind11_add_module(_core MODULE NO_EXTRAS ${core_sources})
  target_compile_definitions(_core PRIVATE RTU_EDGE_VERSION="${PROJECT_VERSION}")
  target_link_libraries(_core PRIVATE rtu_warnings rtu_runtime rtu_learn)
  target_link_options(_core PRIVATE -Wl,--exclude-libs,ALL -Wl,--gc-sections)
  rtu_install(_core rtu_edge)
endif()

set(bridge_builder ${PROJECT_SOURCE_DIR}/firmware_bridge/cffi_build.py)
if(EXISTS ${bridge_builder})
  set(bridge_source ${CMAKE_CURRENT_BINARY_DIR}/_bridge.c)
  file(GLOB bridge_headers CONFIGURE_DEPENDS firmware_bridge/*/*.h)
  add_custom_command(
    OUTPUT ${bridge_source}
    COMMAND ${Python_EXECUTABLE} ${PROJECT_SOURCE_DIR}/cmake/emit_cffi.py ${bridge_builder} ${bridge_source}
    DEPENDS ${bridge_builder} ${bridge_headers} ${PROJECT_SOURCE_DIR}/cmake/emit_cffi.py
    VERBATIM)
  python_add_library(_bridge MODULE WITH_SOABI ${bridge_source})
  # Generated code: our warnings are not for it.
  target_compile_options(_bridge PRIVATE -w)
  target_link_libraries(_bridge PRIVATE rtu_bridge rtu_plants rtu_protocol)
  target_link_options(_bridge PRIVATE -Wl,--exclude-libs,ALL)
  rtu_install(_bridge rtu_edge)
endif()
