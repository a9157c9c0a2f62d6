# The C library: librtu_edge.so and librtu_edge.a, header, CMake package, pkg-config file. Component "c" of the install.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(c_header ${PROJECT_SOURCE_DIR}/native/bindings/c/rtu_edge.h)
file(STRINGS ${c_header} abi_line REGEX "^#define RTU_EDGE_ABI ")
string(REGEX MATCH "[0-9]+" abi "${abi_line}")
set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${c_header})

# Both libraries consist of one object: the parts of the rooms that the interface uses, in which every other symbol is
# local. A static library too can then be linked with anything, and without the C++ library.
set(c_object ${CMAKE_CURRENT_BINARY_DIR}/rtu_edge.o)
set(c_rooms $<TARGET_FILE:rtu_runtime> $<TARGET_FILE:rtu_learn> $<TARGET_FILE:tl_protocol>)
add_custom_command(
  OUTPUT ${c_object}
  COMMAND ${CMAKE_CXX_COMPILER} -r -nostdlib -Wl,--force-group-allocation -o ${c_object}
    -Wl,--whole-archive $<TARGET_FILE:rtu_c> -Wl,--no-whole-archive -Wl,--start-group ${c_rooms} -Wl,--end-group
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${c_object}
  DEPENDS rtu_c rtu_runtime rtu_learn tl_protocol
  COMMAND_EXPAND_LISTS
  VERBATIM)

add_library(rtu_edge SHARED ${c_object})
add_library(rtu_edge_static STATIC ${c_object})
foreach(target rtu_edge rtu_edge_static)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME rtu_edge)
  target_include_directories(${target} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()
set_source_files_properties(${c_object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
add_custom_target(rtu_edge_object DEPENDS ${c_object})
add_dependencies(rtu_edge rtu_edge_object)
add_dependencies(rtu_edge_static rtu_edge_object)
set_target_properties(rtu_edge PROPERTIES SOVERSION ${abi})
target_link_options(rtu_edge PRIVATE -Wl,--no-undefined)

set(c_package ${CMAKE_INSTALL_LIBDIR}/cmake/rtu_edge)
install(TARGETS rtu_edge rtu_edge_static EXPORT rtu_edgeTargets COMPONENT c
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT c NAMELINK_COMPONENT c
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT c)
install(FILES ${c_header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT c)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT c)
install(EXPORT rtu_edgeTargets NAMESPACE rtu_edge:: DESTINATION ${c_package} COMPONENT c)

set(c_made ${CMAKE_CURRENT_BINARY_DIR}/c_package)
file(WRITE ${c_made}/rtu_edgeConfig.cmake "include(\"\${CMAKE_CURRENT_LIST_DIR}/rtu_edgeTargets.cmake\")\n"
  "set(rtu_edge_ABI ${abi})\n")
# Before 1.0 a new minor version may change the interface.
write_basic_package_version_file(${c_made}/rtu_edgeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${c_made}/rtu_edgeConfig.cmake ${c_made}/rtu_edgeConfigVersion.cmake DESTINATION ${c_package}
  COMPONENT c)

# Relative to the file's own folder: the installed tree may be moved.
file(RELATIVE_PATH c_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" c_prefix "${c_prefix}")
configure_file(cmake/rtu_edge.pc.in ${c_made}/rtu_edge.pc @ONLY)
install(FILES ${c_made}/rtu_edge.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT c)
