"""Writes nifti_affine.h: affines and orientations of NIfTI headers, as nibabel reads them.

Needs nibabel (Debian: python3-nibabel). The headers are given by their fields, so that the test
builds the same bytes on its own.
"""
import os

import nibabel
import numpy

rng = numpy.random.default_rng(4)
rows = []


def row(version, sform, qform, pixdim, quatern, offset, srow):
    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    header = kind()
    header.set_data_shape((5, 6, 7))
    header["pixdim"][:4] = pixdim
    header["sform_code"], header["qform_code"] = sform, qform
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = quatern
    header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = offset
    for name, values in zip("xyz", srow):
        header["srow_" + name] = values
    affine = header.get_best_affine()
    codes = "".join(nibabel.aff2axcodes(affine))
    fields = [header["pixdim"][:4], [header["quatern_b"], header["quatern_c"], header["quatern_d"]],
              [header["qoffset_x"], header["qoffset_y"], header["qoffset_z"]]]
    text = "    {%d, %d, %d,\n" % (version, sform, qform)
    for values in fields:
        text += "     {" + ", ".join("%.17g" % float(v) for v in values) + "},\n"
    for matrix in (numpy.array([header["srow_" + n] for n in "xyz"]), affine[:3]):
        text += "     {" + ",\n      ".join(
            "{" + ", ".join("%.17g" % float(v) for v in line) + "}" for line in matrix) + "},\n"
    rows.append(text + '     "%s"},\n' % codes)


for i in range(24):
    turn = rng.normal(size=4)
    turn /= numpy.linalg.norm(turn) * numpy.sign(turn[0])
    if i % 3:  # near one of the axes, as scans are
        turn = numpy.array([1, 0, 0, 0]) + 0.1 * turn
        turn = numpy.roll(turn, i)
        turn /= numpy.linalg.norm(turn) * (numpy.sign(turn[0]) or 1)
    pixdim = [(-1, 1)[i % 2], *rng.uniform(0.4, 6, size=3)]
    offset = rng.uniform(-300, 300, size=3)
    turned, _ = numpy.linalg.qr(rng.normal(size=(3, 3)))
    srow = numpy.column_stack([turned * rng.uniform(0.4, 6, size=3), offset])
    row(1 + i // 2 % 2, i % 5 == 0, 1, pixdim, turn[1:], offset, srow)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "nifti_affine.h"), "w") as out:
    out.write("/* Made by make_nifti.py with nibabel %s. */\n" % nibabel.__version__)
    out.write("static const struct affine_case {\n"
              "    int version, sform, qform;\n"
              "    double pixdim[4], quatern[3], qoffset[3], srow[3][4], affine[3][4];\n"
              "    const char *codes;\n"
              "} affine_cases[] = {\n" + "".join(rows) + "};\n")
