# The program that holds a database open (src/verify/sql): built by itself, then its bytes as a C array in rung_verify,
# which starts it from memory. So there is no file to find at run time, and none to install.
add_executable(rung_sql_worker src/verify/sql/worker/sql_worker.c src/verify/sql/guard.c src/verify/sql/frame.c)
target_link_libraries(rung_sql_worker PRIVATE rung_flags rung_base sqlite_dep)
target_link_options(rung_sql_worker PRIVATE -Wl,--as-needed $<$<NOT:$<CONFIG:Debug>>:-s>)
set_target_properties(rung_sql_worker PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/sql)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/sql/sql_worker_exe.c
  COMMAND ${CMAKE_COMMAND} -DIN=$<TARGET_FILE:rung_sql_worker> -DOUT=${CMAKE_BINARY_DIR}/sql/sql_worker_exe.c
          -DNAME=rung_sql_worker_exe -P ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
  DEPENDS rung_sql_worker ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
  COMMENT "embedding the worker that runs queries" VERBATIM)
target_sources(rung_verify PRIVATE ${CMAKE_BINARY_DIR}/sql/sql_worker_exe.c)
