"""Makes the sample files beside it: python samples/make_samples.py [--check]

| file              | shape           | dtype   | what it holds                                                        |
|-------------------|-----------------|---------|----------------------------------------------------------------------|
| tutorial.npy      | (3, 4)          | float32 | three rows of scores; the maxima are at 0, 1 and 2                   |
| tutorial.csv      | 3 × 4           | text    | the same, without a header                                           |
| class_scores.csv  | 20 × 8          | text    | logits of an image classifier: a header, the image's name first;     |
|                   |                 |         | three images are ambiguous, one is an exact tie                      |
| heatmaps.npy      | (2, 17, 64, 48) | float32 | person, keypoint, y, x: Gaussians at sub-pixel places, with noise;   |
|                   |                 |         | four maps have a second peak on the other side of the body           |
| keypoints.csv     | 34 × 2          | text    | where the Gaussians of heatmaps.npy lie: a header, y and x; one is   |
|                   |                 |         | not known                                                            |
| cost_volume.npy   | (32, 48, 64)    | float16 | disparity, y, x: matching costs (less is better) of a slanted floor, |
|                   |                 |         | a box before it and a patch without texture                          |
| time_steps.npy    | (12, 500)       | float32 | recording, frame: onset scores; four recordings have a weaker onset  |
|                   |                 |         | before the main one                                                  |
| pitch.npy         | (10, 360)       | float32 | frame, bin of 20 cents: activations in [0, 1] of a pitch tracker;    |
|                   |                 |         | two frames also hear the octave below                                |
| pitch_cents.csv   | 360             | text    | the pitch of each bin, in cents above 10 Hz                          |
| ratings.csv       | 8 × 5           | text    | shares of the ratings of films, 1 to 5 stars: a header, the film     |
|                   |                 |         | first; two films are loved or loathed                                |
| stars.csv         | 5               | text    | the stars of each column                                             |
| azimuth.npy       | (8, 72)         | float32 | frame, azimuth by 5°: the sound of someone who walks past north;     |
|                   |                 |         | one frame has an echo from behind, one is silent                     |

Every byte is the same on every platform: the random stream is the one that NumPy has frozen (NEP 19), and every
value is rounded to a grid far coarser than the last bits in which one platform's exp differs from another's.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import numpy as np

TUTORIAL = [[5, 2, 1, 2], [3.9, 4, 1, 2], [2, 5.9, 6, 2]]
CLASSES = ["cat", "dog", "fox", "horse", "bird", "frog", "car", "ship"]


def noise(random, shape):
    """Bell-shaped noise of standard deviation 1: the sum of twelve uniform numbers."""
    return random.random_sample((12, *shape)).sum(axis=0) - 6


def bump(distance_squared, sigma):
    """A Gaussian of height 1."""
    return np.exp(-distance_squared / (2 * sigma**2))


def on_grid(values, step, dtype):
    """Values as multiples of `step`, a power of two that makes them exact in `dtype`."""
    return (np.rint(values / step) * step).astype(dtype)


def class_scores():
    """Logits (image, class) in ten-thousandths, as integers, and the images' names."""
    random = np.random.RandomState(1)
    truth = [3, 0, 1, 5, 7, 2, 6, 4, 1, 0, 3, 6, 2, 7, 5, 4, 0, 1, 2, 6]
    logits = 1.2 * noise(random, (len(truth), len(CLASSES)))
    logits[np.arange(len(truth)), truth] += 5 + 2 * random.random_sample(len(truth))
    scores = np.rint(logits * 1e4).astype(np.int64)
    for image, other, less in [(2, 2, 137), (8, 0, 45), (16, 2, 12), (18, 1, 0)]:  # dog or fox, dog or cat, ... a tie
        scores[image, other] = scores[image, truth[image]] - less
    return scores, [f"img_{1 + image:04}" for image in range(len(truth))]


def heatmaps():
    """Keypoint heatmaps (person, keypoint, y, x), peaks a little below 1, and where they lie, y and x."""
    random = np.random.RandomState(2)
    people, keypoints, height, width = 2, 17, 64, 48
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    maps, places = 0.008 * noise(random, (people, keypoints, height, width)), [["y", "x"]]
    for person in range(people):
        for keypoint in range(keypoints):
            centre_y = 4 + 55 * (keypoint + random.random_sample()) / keypoints  # nose to ankles
            centre_x = 12 + 24 * random.random_sample()
            places.append([f"{centre_y:.3f}", f"{centre_x:.3f}"] if (person, keypoint) != (0, 4) else ["", ""])
            maps[person, keypoint] += 0.93 * bump((y - centre_y) ** 2 + (x - centre_x) ** 2, 2.0)
            if (person, keypoint) in {(0, 9), (0, 15), (1, 13), (1, 16)}:  # left taken for right, or nearly
                maps[person, keypoint] += 0.91 * bump((y - centre_y - 1.3) ** 2 + (x - (47 - centre_x)) ** 2, 2.0)
    return on_grid(maps, 2.0**-16, "<f4"), places


def cost_volume():
    """Matching costs (disparity, y, x) in [0, 2)."""
    random = np.random.RandomState(3)
    disparities, height, width = 32, 48, 64
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    disparity = 3.3 + 0.22 * y + 0.045 * x  # nearer to the camera at the bottom
    box = (y >= 14) & (y < 36) & (x >= 22) & (x < 46)
    disparity = np.where(box, 21.6 - 0.03 * (x - 22), disparity)
    contrast = np.where((y < 10) & (x >= 48), 0.02, 1.0)  # the patch without texture
    distance = np.abs(np.arange(disparities)[:, None, None] - disparity)
    cost = 1.1 - contrast * bump(distance**2, 1.5) + 0.04 * noise(random, distance.shape)
    return on_grid(np.clip(cost, 0, 1.5), 2.0**-10, "<f2")


def time_steps():
    """Onset scores (recording, frame): a fast rise, a slow decay, over a drifting floor."""
    random = np.random.RandomState(4)
    recordings, frames = 12, 500
    frame = np.arange(frames)
    scores = 0.015 * noise(random, (recordings, frames)) + 0.05
    scores += 0.04 * random.random_sample((recordings, 1)) * frame / frames
    for recording in range(recordings):
        onset = 120 + 300 * random.random_sample()
        heights = [(onset, 0.85)] + ([(onset - 70.4, 0.78)] if recording % 3 == 1 else [])
        for place, height in heights:
            sigma = np.where(frame < place, 1.5, 6.0)
            scores[recording] += height * bump((frame - place) ** 2, sigma)
    return on_grid(scores, 2.0**-16, "<f4")


def pitch():
    """Activations (frame, bin), as a pitch tracker puts them out, and the cents of each bin."""
    random = np.random.RandomState(5)
    frames, bins = 10, 360
    cents = 1997.3794084376191 + 20 * np.arange(bins)  # from 31.7 Hz, C1 of the piano a little flat
    sung = 4500 + 40 * np.arange(frames) + 60 * random.random_sample(frames)  # cents above 10 Hz, gliding upwards
    activations = 0.03 * random.random_sample((frames, bins))
    for frame in range(frames):
        activations[frame] += 0.9 * bump((cents - sung[frame]) ** 2, 25.0)
        if frame in (3, 7):
            activations[frame] += 0.8 * bump((cents - sung[frame] + 1200) ** 2, 25.0)
    return on_grid(activations, 2.0**-16, "<f4"), [[f"{cent:.4f}"] for cent in cents]


def ratings():
    """Shares of 1 to 5 stars, in thousandths, and the names of the films."""
    shares = {
        "Harbour Lights": [20, 50, 180, 450, 300],
        "The Long Field": [40, 110, 420, 330, 100],
        "Nine Lanterns": [10, 20, 70, 300, 600],
        "Static": [450, 40, 20, 50, 440],
        "Paper Kingdom": [110, 290, 380, 170, 50],
        "Low Tide": [30, 90, 290, 390, 200],
        "The Cartographer": [380, 70, 60, 90, 400],
        "Second Spring": [560, 280, 100, 40, 20],
    }
    rows = [["film", "1 star", *(f"{n} stars" for n in range(2, 6))]]
    rows += [[film, *(f"{n / 1000:g}" for n in counts)] for film, counts in shares.items()]
    return rows


def azimuth():
    """Steered power (frame, azimuth) of a talker at 340°, 346°, 352° ..., relative to the loudest."""
    random = np.random.RandomState(7)
    frames, bins = 8, 72
    degrees = np.arange(bins) * 360 / bins
    talker = 340 + 6 * np.arange(frames) + 4 * random.random_sample(frames)

    def lobe(center):
        return np.exp(12 * (np.cos(np.deg2rad(degrees - center)) - 1))

    power = 0.02 * random.random_sample((frames, bins))
    for frame in range(frames):
        if frame == 6:  # nobody speaks
            power[frame] = 0.02
            continue
        power[frame] += 0.95 * lobe(talker[frame])
        if frame == 3:
            power[frame] += 0.9 * lobe(talker[frame] + 170)
    return on_grid(power, 2.0**-16, "<f4")


def csv(rows):
    """Rows of text as a file's bytes."""
    return "".join(",".join(row) + "\n" for row in rows).encode()


def npy(array):
    """An array as a file's bytes."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def samples():
    """Name of each file and its bytes."""
    scores, images = class_scores()
    activations, cents = pitch()
    maps, places = heatmaps()
    rows = [[image, *(f"{n / 1e4:.4f}" for n in row.tolist())] for image, row in zip(images, scores, strict=True)]
    return {
        "tutorial.npy": npy(np.array(TUTORIAL, "<f4")),
        "tutorial.csv": csv([f"{n:g}" for n in row] for row in TUTORIAL),
        "class_scores.csv": csv([["image", *CLASSES], *rows]),
        "heatmaps.npy": npy(maps),
        "keypoints.csv": csv(places),
        "cost_volume.npy": npy(cost_volume()),
        "time_steps.npy": npy(time_steps()),
        "pitch.npy": npy(activations),
        "pitch_cents.csv": csv(cents),
        "ratings.csv": csv(ratings()),
        "azimuth.npy": npy(azimuth()),
        "stars.csv": csv([f"{n}"] for n in range(1, 6)),
    }


def main() -> int:
    """Write the files, or say which differ; 1 where one does."""
    parser = argparse.ArgumentParser(description="Makes the sample files.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, help="the folder (default: this one)")
    options = parser.parse_args()
    stale = False
    for name, content in samples().items():
        file = options.into / name
        if not options.check:
            file.write_bytes(content)
        elif not file.is_file() or file.read_bytes() != content:
            print(f"{file}: not what this script makes", file=sys.stderr)
            stale = True
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
