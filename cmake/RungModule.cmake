# rung_module(NAME DEPS modules LINK libraries): src/NAME/*.c and its subfolders -> librung_NAME.a, tested by
# tests/unit/NAME/test_*.c.
# tools/check_layers.sh reads these lines: DEPS is what the folder may include.
add_library(rung_flags INTERFACE)
target_compile_options(rung_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Werror -Wshadow -Wconversion -Wdouble-promotion -Wvla -fno-math-errno>)
target_compile_definitions(rung_flags INTERFACE _GNU_SOURCE RUNG_VERSION="${PROJECT_VERSION}"
  $<$<CONFIG:Debug>:RUNG_DEBUG_BUILD=1>)
target_include_directories(rung_flags INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
if(RUNG_NATIVE)
  target_compile_options(rung_flags INTERFACE -march=native)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(rung_flags INTERFACE -march=x86-64-v3)     # AVX2, FMA, F16C: as ggml's portable build
endif()
if(RUNG_COVERAGE)
  target_compile_options(rung_flags INTERFACE --coverage -O0 -g)
  target_link_options(rung_flags INTERFACE --coverage)
endif()
if(RUNG_SANITIZE)
  target_compile_options(rung_flags INTERFACE -fsanitize=${RUNG_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer -g
    # gcc sees false ranges in instrumented code; the plain builds keep these as errors
    -Wno-error=format-truncation -Wno-error=maybe-uninitialized)
  target_link_options(rung_flags INTERFACE -fsanitize=${RUNG_SANITIZE})
endif()

function(rung_module name)
  cmake_parse_arguments(M "" "" "DEPS;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c ${CMAKE_SOURCE_DIR}/src/${name}/*/*.c)
  if(NOT sources)
    add_library(rung_${name} INTERFACE)
    set(kind INTERFACE)
  else()
    add_library(rung_${name} STATIC ${sources})
    set(kind PUBLIC)
  endif()
  set_target_properties(rung_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  list(TRANSFORM M_DEPS PREPEND rung_)
  target_link_libraries(rung_${name} ${kind} rung_flags ${M_DEPS} ${M_LINK})
  set_property(GLOBAL APPEND PROPERTY RUNG_MODULES ${name})
endfunction()
