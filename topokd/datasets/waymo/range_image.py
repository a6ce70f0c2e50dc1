"""From Waymo range images to points, as range_image_utils of waymo-open-dataset define it.

Row r of a range image is a beam, column c an azimuth; a pixel with a range above 0 is a return. In the sensor's frame
``p = range (cos a cos i, sin a cos i, sin i)`` with the beam's inclination i (the calibration lists them from the
lowest, the image has the highest first) and ``a = pi - 2 pi (c + 1/2) / W - yaw`` of the extrinsic; the extrinsic takes
p to the vehicle, the pixel's pose to the world (the car moves during a turn), the frame's pose back to the vehicle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64


@dataclass(frozen=True)
class LaserCalibration:
    """``extrinsic``: sensor to vehicle; ``inclination`` (H,): radians, from the top row down."""

    extrinsic: Float[np.ndarray, "4 4"]
    inclination: Float[np.ndarray, " H"]


def uniform_inclinations(low: float, high: float, height: int) -> Float[np.ndarray, " height"]:
    """Beams at the centres of ``height`` equal steps, from the top row down: for lidars without a table.

    Args:
        low: lowest inclination in radians.
        high: highest inclination.
        height: number of rows.
    """
    return low + (high - low) * (np.arange(height)[::-1] + 0.5) / height


def azimuths(width: int, extrinsic: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, " width"]:
    """Azimuth of each column in the sensor's frame, in radians."""
    return np.pi - 2 * np.pi * (np.arange(width) + 0.5) / width - np.arctan2(extrinsic[1, 0], extrinsic[0, 0])


def rotations(roll: np.ndarray, pitch: np.ndarray, yaw: np.ndarray) -> Float[np.ndarray, "n 3 3"]:
    """``Rz(yaw) Ry(pitch) Rx(roll)`` of n triples of angles in radians.

    Args:
        roll: (n,) about x.
        pitch: (n,) about y.
        yaw: (n,) about z.
    """
    cr, sr, cp, sp, cy, sy = (f(angle) for angle in (roll, pitch, yaw) for f in (np.cos, np.sin))
    rows = (
        (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        (-sp, cp * sr, cp * cr),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def points_of(
    distance: Float[np.ndarray, " n"],
    row: Int64[np.ndarray, " n"],
    column: Int64[np.ndarray, " n"],
    width: int,
    calibration: LaserCalibration,
    pixel_pose: Float[np.ndarray, "n 6"] | None = None,
    frame_pose: Float[np.ndarray, "4 4"] | None = None,
) -> Float[np.ndarray, "n 3"]:
    """Points in the vehicle frame, in metres, of n returns with their pixels.

    Args:
        distance: range of each return, in metres.
        row, column: pixel of each return.
        width: columns of the range image.
        calibration: calibration of the sensor.
        pixel_pose: roll, pitch, yaw [rad], x, y, z [m] of the vehicle in the world when each pixel was measured.
        frame_pose: vehicle to world at the time of the frame; both poses or neither.

    Examples:
        >>> straight = LaserCalibration(np.eye(4), np.array([0.0]))
        >>> points_of(np.array([5.0]), np.array([0]), np.array([1]), 3, straight).round(3).tolist()
        [[5.0, 0.0, 0.0]]
    """
    azimuth = azimuths(width, calibration.extrinsic)[column]
    inclination = calibration.inclination[row]
    level = distance * np.cos(inclination)
    sensor = np.stack((level * np.cos(azimuth), level * np.sin(azimuth), distance * np.sin(inclination)), axis=1)
    vehicle = sensor @ calibration.extrinsic[:3, :3].T + calibration.extrinsic[:3, 3]
    if pixel_pose is None or frame_pose is None:
        return vehicle
    pose = pixel_pose.astype(np.float64)
    world = np.einsum("nij,nj->ni", rotations(pose[:, 0], pose[:, 1], pose[:, 2]), vehicle) + pose[:, 3:]
    back = np.linalg.inv(frame_pose)
    return world @ back[:3, :3].T + back[:3, 3]
