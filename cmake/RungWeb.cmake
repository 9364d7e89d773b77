# The report page: npm packages and the bundle in the build folder, then one C array in rung_bench.
option(RUNG_WEB "bundle the report page (needs node >= 18 and npm; off: `rung report` says it is not built in)" ON)
set(web ${CMAKE_SOURCE_DIR}/web)
set(web_build ${CMAKE_BINARY_DIR}/web)
if(NOT RUNG_WEB)
  target_compile_definitions(rung_bench PRIVATE RUNG_NO_WEB=1)
  return()
endif()
find_program(RUNG_NODE NAMES node nodejs)
find_program(RUNG_NPM npm)
if(NOT RUNG_NODE OR NOT RUNG_NPM)
  message(FATAL_ERROR
    "the report needs node and npm (Debian: apt-get install nodejs npm), or configure with -DRUNG_WEB=OFF")
endif()
file(GLOB web_sources CONFIGURE_DEPENDS ${web}/src/*.js)

add_custom_command(OUTPUT ${web_build}/installed.stamp
  COMMAND ${CMAKE_COMMAND} -E copy ${web}/package.json ${web}/package-lock.json ${web_build}
  COMMAND ${RUNG_NPM} ci --ignore-scripts --no-audit --no-fund --loglevel=error
  COMMAND ${CMAKE_COMMAND} -E touch ${web_build}/installed.stamp
  WORKING_DIRECTORY ${web_build}
  DEPENDS ${web}/package.json ${web}/package-lock.json
  COMMENT "npm ci for the report page" VERBATIM)
add_custom_command(OUTPUT ${web_build}/report.html
  COMMAND ${RUNG_NODE} ${web}/build.mjs --modules ${web_build} --out ${web_build}/report.html
  DEPENDS ${web_build}/installed.stamp ${web}/build.mjs ${web}/report.html ${web}/style.css ${web_sources}
  COMMENT "bundling the report page" VERBATIM)
add_custom_command(OUTPUT ${web_build}/report_page.c
  COMMAND ${CMAKE_COMMAND} -DIN=${web_build}/report.html -DOUT=${web_build}/report_page.c -DNAME=rung_report_page
          -P ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
  DEPENDS ${web_build}/report.html ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
  COMMENT "embedding the report page" VERBATIM)
file(MAKE_DIRECTORY ${web_build})
target_sources(rung_bench PRIVATE ${web_build}/report_page.c)
