# The pages, the report's and the server's: npm packages and bundles in the build folder, then a C array each, in
# rung_bench and rung_serve.
option(RUNG_WEB "bundle the report page (needs node >= 18 and npm; off: `rung report` says it is not built in)" ON)
set(web ${CMAKE_SOURCE_DIR}/web)
set(web_build ${CMAKE_BINARY_DIR}/web)
if(NOT RUNG_WEB)
  target_compile_definitions(rung_bench PRIVATE RUNG_NO_WEB=1)
  target_compile_definitions(rung_serve PRIVATE RUNG_NO_WEB=1)
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
file(MAKE_DIRECTORY ${web_build})
function(rung_page page style module)
  add_custom_command(OUTPUT ${web_build}/${page}.html
    COMMAND ${RUNG_NODE} ${web}/build.mjs --modules ${web_build} --page ${page} --out ${web_build}/${page}.html
    DEPENDS ${web_build}/installed.stamp ${web}/build.mjs ${web}/${page}.html ${web}/style.css ${web}/${style}
            ${web_sources}
    COMMENT "bundling the page ${page}" VERBATIM)
  add_custom_command(OUTPUT ${web_build}/${page}_page.c
    COMMAND ${CMAKE_COMMAND} -DIN=${web_build}/${page}.html -DOUT=${web_build}/${page}_page.c -DNAME=rung_${page}_page
            -P ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
    DEPENDS ${web_build}/${page}.html ${CMAKE_SOURCE_DIR}/cmake/Embed.cmake
    COMMENT "embedding the page ${page}" VERBATIM)
  target_sources(${module} PRIVATE ${web_build}/${page}_page.c)
endfunction()
rung_page(report style.css rung_bench)
rung_page(serve serve.css rung_serve)
