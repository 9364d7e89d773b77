# The text that runs inside the sandbox: its parts joined in order, then one C array in rung_verify.
set(box_py ${CMAKE_SOURCE_DIR}/src/verify/code/py)
set(box_parts ${box_py}/wall.py ${box_py}/link.py ${box_py}/tester.py ${box_py}/session.py
  ${box_py}/program.py ${box_py}/rewrite.py ${box_py}/server.py)
set(box_build ${CMAKE_BINARY_DIR}/box)
file(MAKE_DIRECTORY ${box_build})
add_custom_command(OUTPUT ${box_build}/box_py.c
  COMMAND ${CMAKE_COMMAND} -E cat ${box_parts} > ${box_build}/box.py
  COMMAND ${CMAKE_COMMAND} -DIN=${box_build}/box.py -DOUT=${box_build}/box_py.c -DNAME=rung_box_py
          -P ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
  DEPENDS ${box_parts} ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
  COMMENT "embedding the sandbox's server" VERBATIM)
target_sources(rung_verify PRIVATE ${box_build}/box_py.c)
