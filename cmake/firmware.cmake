# Images for microcontrollers. Bare metal: no C library, own start files, unreferenced code is not linked.
#
# rtu_image(<target> SOURCES <file>... [LINK <target>...] [LINK_OPTIONS <option>...]): an executable, its sizes printed
# after linking.
function(rtu_image target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK;LINK_OPTIONS")
  add_executable(${target} ${arg_SOURCES} firmware_bridge/boards/stm32f405/memory.c)
  set_target_properties(${target} PROPERTIES SUFFIX .elf)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  # Size first: on this processor it is also the faster code, because nothing spills.
  target_compile_options(${target} PRIVATE -Os $<$<COMPILE_LANGUAGE:CXX>:${rtu_freestanding}>)
  target_link_options(${target} PRIVATE -nostdlib -Wl,--gc-sections -Wl,--fatal-warnings ${arg_LINK_OPTIONS})
  target_link_libraries(${target} PRIVATE rtu_warnings ${arg_LINK} gcc)
  add_custom_command(TARGET ${target} POST_BUILD COMMAND ${CMAKE_SIZE} $<TARGET_FILE:${target}> VERBATIM)
endfunction()

# Otherwise the compiler turns the loops of memcpy and memset into recursive calls.
set_source_files_properties(firmware_bridge/boards/stm32f405/memory.c PROPERTIES
  COMPILE_OPTIONS -fno-tree-loop-distribute-patterns)

find_program(CMAKE_SIZE arm-none-eabi-size REQUIRED)
set(stm32f405 ${PROJECT_SOURCE_DIR}/firmware_bridge/boards/stm32f405)
set(stm32f405_link -Wl,-T,${stm32f405}/stm32f405.ld)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${stm32f405}/stm32f405.ld)

if(RTU_EDGE_TESTS)
  # The cell's step alone, to measure its size; and in an image, for its instruction count and results.
  rtu_image(cortex_cell_alone SOURCES tests/firmware/cortex/cell.cpp
    LINK_OPTIONS -Wl,-e,rtu_cell_step)
  # Its kernels for VLDM and VMLA against the portable ones.
  rtu_image(cortex_dense SOURCES tests/firmware/cortex/dense_image.cpp ${stm32f405}/start.c
    LINK_OPTIONS ${stm32f405_link})
  rtu_image(cortex_cell SOURCES tests/firmware/cortex/cell.cpp tests/firmware/cortex/cell_image.cpp ${stm32f405}/start.c
    LINK_OPTIONS ${stm32f405_link})
endif()

set(stm32f405_board ${stm32f405}/start.c ${stm32f405}/board.c)

# The firmware: the bridge and a simulated plant.
rtu_image(tl_stm32f405 SOURCES ${stm32f405_board} ${stm32f405}/main.c
  LINK tl_stm32f405_drivers tl_store tl_simulated tl_bridge tl_plants tl_protocol
  LINK_OPTIONS ${stm32f405_link})
set(TL_FIRMWARE_PLANT cartpole CACHE STRING "the simulated plant in front of which the image puts the bridge")
set(TL_FIRMWARE_SOURCE "" CACHE FILEPATH
  "a C file with `const tl_plant tl_plant_own`, which takes the place of the simulated plant")
if(TL_FIRMWARE_SOURCE)
  target_sources(tl_stm32f405 PRIVATE ${TL_FIRMWARE_SOURCE})
  # A user's file: warnings, except for members that were added later.
  set_source_files_properties(${TL_FIRMWARE_SOURCE} PROPERTIES
    COMPILE_OPTIONS "-Wno-error;-Wno-missing-field-initializers")
  target_compile_definitions(tl_stm32f405 PRIVATE TL_PLANT_OWN)
  target_compile_definitions(tl_plants PRIVATE TL_PLANT_OWN)
else()
  target_compile_definitions(tl_stm32f405 PRIVATE TL_FIRMWARE_PLANT="${TL_FIRMWARE_PLANT}")
endif()

# The firmware with bridge and learner: a body each for actor and critic, or one for both; of other sizes
# (observations, units, hidden) for counting, and for other plants. Further arguments are definitions.
function(rtu_learner_image target shared sizes)
  rtu_image(${target} SOURCES ${stm32f405_board} ${stm32f405}/learner.cpp
    LINK tl_stm32f405_drivers tl_store tl_simulated tl_bridge tl_plants tl_protocol LINK_OPTIONS ${stm32f405_link})
  target_compile_definitions(${target} PRIVATE TL_LEARNER_SHARED=${shared} TL_LEARNER_SIZES=${sizes} ${ARGN})
  if(TL_FIRMWARE_SOURCE)
    target_sources(${target} PRIVATE ${TL_FIRMWARE_SOURCE})
    target_compile_definitions(${target} PRIVATE TL_PLANT_OWN)
  elseif(NOT "${ARGN}" MATCHES TL_FIRMWARE_PLANT)
    target_compile_definitions(${target} PRIVATE TL_FIRMWARE_PLANT="${TL_FIRMWARE_PLANT}")
  endif()
  # Its one C++ file: everything in it that is constant becomes so.
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fwhole-program>)
endfunction()
rtu_learner_image(tl_stm32f405_learner 0 "2,16,16")
rtu_learner_image(tl_stm32f405_learner_shared 1 "2,16,16")
rtu_learner_image(tl_stm32f405_learner_large 0 "8,32,32")
rtu_learner_image(tl_stm32f405_learner_large_shared 1 "8,32,32")
# With the learner monitor and its snapshot.
rtu_learner_image(tl_stm32f405_learner_monitored 0 "2,16,16" TL_LEARNER_MONITOR=1)
rtu_learner_image(tl_stm32f405_learner_shared_monitored 1 "2,16,16" TL_LEARNER_MONITOR=1)
if(RTU_EDGE_TESTS)
  # Plants whose limits act on what the learner asks for.
  rtu_learner_image(tl_stm32f405_learner_slewed 1 "2,16,16" TL_FIRMWARE_SLEW=4.0f)
  rtu_learner_image(tl_stm32f405_learner_joint 1 "7,8,8" [[TL_FIRMWARE_PLANT="joint"]])
endif()
# Of further sizes, to count: benchmarks/board_size.py.
set(TL_LEARNER_GRID "" CACHE STRING "learners of other sizes, such as 2x16x16;64x4x4: observations, units, hidden")
foreach(size IN LISTS TL_LEARNER_GRID)
  string(REPLACE "x" "," sizes ${size})
  rtu_learner_image(tl_learner_${size} 0 ${sizes})
  rtu_learner_image(tl_learner_${size}_shared 1 ${sizes})
endforeach()
