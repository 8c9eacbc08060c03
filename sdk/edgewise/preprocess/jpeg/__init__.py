"""JPEG files straight to small pictures: `reading` says when, `headers` what a file is, `weights` what makes a pixel.

The work is done by `_jpeg.c`, with bits.h (Huffman codes), parts.h (several threads) and rows.h (the resize).
"""
