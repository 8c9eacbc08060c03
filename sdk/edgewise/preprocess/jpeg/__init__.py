"""JPEG files straight to small pictures: `reading` says when, `headers` what a file is, `weights` what makes a pixel.

The work is done by `_jpeg.c`, with workers.h (threads), memory.h, bits.h (Huffman codes), parts.h (what several threads
decoded, joined) and rows.h (the resize).
"""
