# make install: the command, one librung.a (our modules, yyjson, llama.cpp), headers, rung.pc, man page, completion.
include(GNUInstallDirs)
get_property(modules GLOBAL PROPERTY RUNG_MODULES)
set(script "create librung.a\n")
set(module_libs "")
foreach(m ${modules})
  get_target_property(type rung_${m} TYPE)
  if(type STREQUAL STATIC_LIBRARY)
    string(APPEND script "addlib $<TARGET_FILE:rung_${m}>\n")
    list(APPEND module_libs rung_${m})
  endif()
endforeach()
set(pc_requires "sqlite3 libfyaml libcurl libxxhash")
foreach(l yyjson llama ggml ggml-cpu ggml-base)
  if(EXISTS ${RUNG_DEPS_DIR}/lib/lib${l}.a)
    string(APPEND script "addlib ${RUNG_DEPS_DIR}/lib/lib${l}.a\n")
  endif()
endforeach()
foreach(l yyjson llama)
  if(EXISTS ${RUNG_DEPS_DIR}/system-${l})
    string(APPEND pc_requires " ${l}")
  endif()
endforeach()
string(APPEND script "save\nend\n")
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/librung.mri CONTENT "${script}")
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/librung.a
  COMMAND ${CMAKE_COMMAND} -E rm -f librung.a
  COMMAND ${CMAKE_AR} -M < librung.mri
  DEPENDS ${module_libs} ${CMAKE_BINARY_DIR}/librung.mri WORKING_DIRECTORY ${CMAKE_BINARY_DIR} VERBATIM)
add_custom_target(librung DEPENDS ${CMAKE_BINARY_DIR}/librung.a)

file(RELATIVE_PATH pc_to_prefix /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)     # the prefix is known at install time only
configure_file(${CMAKE_SOURCE_DIR}/cmake/rung.pc.in rung.pc @ONLY)
if(TARGET rung)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/rung.1 ${CMAKE_BINARY_DIR}/rung.bash
    COMMAND $<TARGET_FILE:rung> help --man > rung.1
    COMMAND $<TARGET_FILE:rung> completion bash > rung.bash
    DEPENDS rung WORKING_DIRECTORY ${CMAKE_BINARY_DIR} VERBATIM)
  add_custom_target(rung_manual DEPENDS ${CMAKE_BINARY_DIR}/rung.1 ${CMAKE_BINARY_DIR}/rung.bash)
  install(TARGETS rung RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES ${CMAKE_BINARY_DIR}/rung.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${CMAKE_BINARY_DIR}/rung.bash RENAME rung
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
endif()
install(FILES ${CMAKE_BINARY_DIR}/librung.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_BINARY_DIR}/rung.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(DIRECTORY include/rung DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(DIRECTORY recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/rung FILES_MATCHING PATTERN "*.yaml")
install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/rung FILES_MATCHING PATTERN "*.gguf")
