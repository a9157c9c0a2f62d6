# The compilers of tools/wheels.py: zig's clang, its libc++ inside the modules, and glibc 2.28. RTU_EDGE_ARCH is
# x86_64 or aarch64: the baseline of each, so that the wheel runs on every processor of the family.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${RTU_EDGE_ARCH})
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES RTU_EDGE_ARCH RTU_EDGE_ZIG)
set(CMAKE_C_COMPILER ${RTU_EDGE_ZIG}/clang)
set(CMAKE_CXX_COMPILER ${RTU_EDGE_ZIG}/clang++)
set(CMAKE_AR ${RTU_EDGE_ZIG}/ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${RTU_EDGE_ZIG}/ranlib CACHE FILEPATH "")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
