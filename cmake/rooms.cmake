# A room is a folder of sources: a new file needs no edit here.

add_library(rtu_warnings INTERFACE)
target_compile_options(rtu_warnings INTERFACE -Wall -Wextra -Wconversion)
if(RTU_EDGE_WERROR)
  target_compile_options(rtu_warnings INTERFACE -Werror)
endif()

# Everywhere except in the kernel files of an instruction set with fused multiply-add.
add_compile_options(-ffp-contract=off)
# A square root is the instruction alone, without a call that sets errno for negative numbers, and no code traps
# floating-point exceptions: the same numbers, and loops with roots and divisions become vectors
# (native/learners/normalizer.h).
add_compile_options(-fno-math-errno -fno-trapping-math)

if(RTU_EDGE_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1 -Og)
  add_link_options(-fsanitize=address,undefined)
endif()

if(RTU_EDGE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow -fno-sanitize-recover=all)
  add_compile_options(-fno-omit-frame-pointer -g -O1)
  add_link_options(-fsanitize=address,undefined)
endif()

# rtu_room(<target> <C|CXX> GLOBS <pattern>... [FLAGS <flag>...] [LINK <target>...])
function(rtu_room target language)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "GLOBS;FLAGS;LINK")
  file(GLOB sources CONFIGURE_DEPENDS ${arg_GLOBS})
  rtu_drop_foreign_kernels(sources)
  if(NOT sources)
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${arg_LINK})
    target_include_directories(${target} INTERFACE ${PROJECT_SOURCE_DIR})
    return()
  endif()
  # Compiled where something links to it.
  add_library(${target} STATIC EXCLUDE_FROM_ALL ${sources})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE ${arg_FLAGS})
  if(RTU_EDGE_QUICK AND NOT target STREQUAL "rtu_learn")
    target_compile_options(${target} PRIVATE -O1)
  endif()
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:rtu_warnings> PUBLIC ${arg_LINK})
endfunction()

# One source per instruction set; which of them this processor family can have at all.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(rtu_kernel_isas scalar sse2 avx2 avx512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(rtu_kernel_isas scalar neon)
else()
  set(rtu_kernel_isas scalar)
endif()

function(rtu_drop_foreign_kernels list)
  set(kept)
  foreach(source IN LISTS ${list})
    if(source MATCHES "/(isa|transform)_([a-z0-9]+)\\.cpp$" AND NOT CMAKE_MATCH_2 IN_LIST rtu_kernel_isas)
      continue()
    endif()
    list(APPEND kept ${source})
  endforeach()
  set(${list} ${kept} PARENT_SCOPE)
endfunction()

# Separate flags for kernels/{isa,transform}_*.cpp; never -march=native, never -ffast-math. The transforms are never
# contracted: every instruction set gives the same coefficients to the bit.
function(rtu_kernel_flags target)
  set(avx2 -mavx2 -mfma)
  set(avx512 -mavx512f -mavx512vl -mavx512dq -mavx512bw -mprefer-vector-width=512)
  set(contract_scalar off)
  set(contract_sse2 off)
  # For verification, where a processor has vectors: the same bits, compiled in a third of the time.
  list(LENGTH rtu_kernel_isas isas)
  if(isas GREATER 1 AND CMAKE_CXX_FLAGS_RELEASE MATCHES "-O3" AND NOT (RTU_EDGE_SANITIZE OR RTU_EDGE_FUZZ))
    set(level_scalar -O2)
  endif()
  foreach(isa IN LISTS rtu_kernel_isas)
    if(NOT DEFINED contract_${isa})
      set(contract_${isa} fast)
    endif()
    set(folder ${PROJECT_SOURCE_DIR}/native/kernels)
    set_source_files_properties(${folder}/isa_${isa}.cpp PROPERTIES
      COMPILE_OPTIONS "${${isa}};-ffp-contract=${contract_${isa}};-fno-lto;${level_${isa}}")
    set_source_files_properties(${folder}/transform_${isa}.cpp PROPERTIES
      COMPILE_OPTIONS "${${isa}};-ffp-contract=off;-fno-lto")
  endforeach()
endfunction()

# rtu_install(<target> <folder>): into the wheel; an editable install also needs the files that Python does not import,
# next to the sources.
function(rtu_install target folder)
  install(TARGETS ${target} DESTINATION ${folder} COMPONENT python)
  if(NOT folder STREQUAL "rtu_edge" AND SKBUILD_STATE STREQUAL "editable")
    install(PROGRAMS $<TARGET_FILE:${target}> DESTINATION ${PROJECT_SOURCE_DIR}/${folder} COMPONENT python)
  endif()
endfunction()
