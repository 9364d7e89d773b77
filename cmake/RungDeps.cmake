# Every library rung uses, each as one interface target.
# yyjson and llama.cpp lie under the prefix that tools/deps.sh makes: RUNG_DEPS_DIR (-D or environment) or its default.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
if(NOT RUNG_DEPS_DIR AND DEFINED ENV{RUNG_DEPS_DIR})
  set(RUNG_DEPS_DIR $ENV{RUNG_DEPS_DIR})
endif()
if(NOT RUNG_DEPS_DIR)
  if(NOT RUNG_NATIVE)
    set(portable --portable)
  endif()
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/deps.sh --print-dir ${portable}
    OUTPUT_VARIABLE RUNG_DEPS_DIR OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endif()

function(rung_pkg target module)
  pkg_check_modules(${target}_pc REQUIRED IMPORTED_TARGET ${module})
  add_library(${target} INTERFACE)
  target_link_libraries(${target} INTERFACE PkgConfig::${target}_pc)
endfunction()
rung_pkg(fyaml_dep libfyaml)
rung_pkg(xxhash_dep libxxhash)
rung_pkg(sqlite_dep sqlite3)
rung_pkg(curl_dep libcurl)
rung_pkg(seccomp_dep libseccomp)
rung_pkg(microhttpd_dep libmicrohttpd)

# A file system-yyjson or system-llama in the prefix says that the system's own copy is in the tested range.
if(EXISTS ${RUNG_DEPS_DIR}/system-yyjson)
  rung_pkg(yyjson_dep yyjson)
elseif(EXISTS ${RUNG_DEPS_DIR}/lib/libyyjson.a)
  add_library(yyjson_dep INTERFACE)
  target_include_directories(yyjson_dep SYSTEM INTERFACE ${RUNG_DEPS_DIR}/include)
  target_link_libraries(yyjson_dep INTERFACE ${RUNG_DEPS_DIR}/lib/libyyjson.a)
else()
  message(FATAL_ERROR "no yyjson under RUNG_DEPS_DIR (${RUNG_DEPS_DIR}); hint: run tools/deps.sh first, or just: make")
endif()
if(EXISTS ${RUNG_DEPS_DIR}/system-llama)
  rung_pkg(llama_dep llama)
else()
  add_library(llama_dep INTERFACE)
  target_include_directories(llama_dep SYSTEM INTERFACE ${RUNG_DEPS_DIR}/include)
  target_link_libraries(llama_dep INTERFACE
    ${RUNG_DEPS_DIR}/lib/libllama.a ${RUNG_DEPS_DIR}/lib/libggml.a
    ${RUNG_DEPS_DIR}/lib/libggml-cpu.a ${RUNG_DEPS_DIR}/lib/libggml-base.a
    stdc++ gomp m dl Threads::Threads)       # ggml's threads are gcc's OpenMP
endif()

# FLINT 3 holds Arb; FLINT 2.9 has it beside itself (Debian names that one flint-arb, others arb).
find_library(FLINT_LIB flint REQUIRED)
find_path(FLINT_H flint/flint.h REQUIRED)
find_path(FLINT_ACB_H flint/acb.h)
add_library(flint_dep INTERFACE)
target_include_directories(flint_dep SYSTEM INTERFACE ${FLINT_H})   # elsewhere than /usr: -DCMAKE_PREFIX_PATH=...
find_library(GMP_LIB gmp REQUIRED)
if(NOT FLINT_ACB_H)
  find_library(ARB_LIB NAMES flint-arb arb REQUIRED)
  target_link_libraries(flint_dep INTERFACE ${ARB_LIB})
endif()
target_link_libraries(flint_dep INTERFACE ${FLINT_LIB} ${GMP_LIB})

find_library(Z3_LIB z3 REQUIRED)
find_path(Z3_H z3.h PATH_SUFFIXES z3 REQUIRED)
add_library(z3_dep INTERFACE)
target_include_directories(z3_dep SYSTEM INTERFACE ${Z3_H})
target_link_libraries(z3_dep INTERFACE ${Z3_LIB})

find_library(DNNL_LIB dnnl REQUIRED)
add_library(dnnl_dep INTERFACE)
target_link_libraries(dnnl_dep INTERFACE ${DNNL_LIB})
# Our own loops may use OpenMP too, with gcc.  Not with clang: two OpenMP libraries in one process fight over the cores.
add_library(omp_dep INTERFACE)
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
  find_package(OpenMP REQUIRED COMPONENTS C)
  target_link_libraries(omp_dep INTERFACE OpenMP::OpenMP_C)
else()
  target_compile_options(omp_dep INTERFACE -Wno-unknown-pragmas)
  message(STATUS "${CMAKE_C_COMPILER_ID}: the trainer's loops between products run on one thread; gcc is faster")
endif()
target_link_libraries(dnnl_dep INTERFACE omp_dep)
