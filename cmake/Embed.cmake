# cmake -DIN=file -DOUT=file.c -DNAME=symbol -P Embed.cmake: the bytes of a file as a C array and its length.
file(READ ${IN} hex HEX)
string(LENGTH "${hex}" n)
math(EXPR n "${n} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "#include <stddef.h>\nextern const unsigned char ${NAME}[];\nextern const size_t ${NAME}_n;\n"
  "const unsigned char ${NAME}[] = {${bytes}0};\nconst size_t ${NAME}_n = ${n};\n")
