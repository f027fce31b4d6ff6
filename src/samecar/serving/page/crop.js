/** Lets people choose a part of a picture, with a mouse, a finger or the keyboard. */

const SMALLEST = 0.03; // sides of a crop, as shares of the picture: less cannot be taken hold of
const STEP = 0.01; // of an arrow key, as a share of the picture; ten times as much with Shift
const TAP = 4; // pixels that a hand may tremble without drawing a box
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The box over a picture. Sides are shares of the upright picture, from 0 to 1. */
export class Crop {
  /**
   * @param {HTMLElement} stage holds the image, the area and its four handles.
   * @param {HTMLElement} readout says what is chosen.
   * @param {function()} chosen is called when a box was drawn, or Enter pressed.
   */
  constructor(stage, readout, chosen) {
    this.stage = stage;
    this.image = stage.querySelector("img");
    this.area = stage.querySelector(".area");
    this.handles = [...stage.querySelectorAll(".handle")];
    this.readout = readout;
    this.chosen = chosen;
    this.image.addEventListener("load", () => this.fit());
    stage.addEventListener("pointerdown", (event) => this.take(event));
    stage.addEventListener("keydown", (event) => this.press(event));
    this.sides = [0, 0, 1, 1]; // left, top, right, bottom
  }

  /** Left, top, width and height; null for the whole picture. */
  get box() {
    const [left, top, right, bottom] = this.sides;
    return this.isWhole ? null : [left, top, right - left, bottom - top];
  }

  set box(box) {
    const [left, top, width, height] = box ?? [0, 0, 1, 1];
    this.sides = [left, top, left + width, top + height];
    this.draw();
  }

  get isWhole() {
    return this.sides.join() === "0,0,1,1";
  }

  /** Gives the stage the shape of the picture, also of one that is smaller than the stage. */
  fit() {
    this.stage.style.setProperty("--shape", this.image.naturalWidth / this.image.naturalHeight);
    this.draw();
  }

  /** Shows the box where it is now. */
  draw() {
    const [left, top, right, bottom] = this.sides;
    const { naturalWidth: width, naturalHeight: height } = this.image;
    for (const [name, value] of Object.entries({ left, top, right, bottom })) {
      this.stage.style.setProperty(`--${name}`, `${value * 100}%`);
    }
    this.stage.classList.toggle("whole", this.isWhole);
    describe(this.area, left, `left ${percentOf(left)}, top ${percentOf(top)}`);
    for (const handle of this.handles) {
      const [x, y] = this.corner(handle);
      describe(handle, x, `${percentOf(x)} from the left, ${percentOf(y)} from the top`);
    }
    const pixels = `${Math.round((right - left) * width)} × ${Math.round((bottom - top) * height)} pixels`;
    this.readout.textContent = this.isWhole
      ? `Whole picture, ${pixels}`
      : `Box: left ${percentOf(left)}, top ${percentOf(top)}, ${pixels}`;
  }

  corner(handle) {
    const [left, top, right, bottom] = this.sides;
    const corner = handle.dataset.corner;
    return [corner.endsWith("left") ? left : right, corner.startsWith("top") ? top : bottom];
  }

  moveArea(from, x, y) {
    const [left, top, right, bottom] = from;
    const across = between(-left, x, 1 - right);
    const down = between(-top, y, 1 - bottom);
    this.sides = [left + across, top + down, right + across, bottom + down];
    this.draw();
  }

  moveCorner(handle, x, y) {
    const [left, top, right, bottom] = this.sides;
    const corner = handle.dataset.corner;
    this.sides = [
      corner.endsWith("left") ? between(0, x, right - SMALLEST) : left,
      corner.startsWith("top") ? between(0, y, bottom - SMALLEST) : top,
      corner.endsWith("left") ? right : between(left + SMALLEST, x, 1),
      corner.startsWith("top") ? bottom : between(top + SMALLEST, y, 1),
    ];
    this.draw();
  }

  /** Spans a box between two points. */
  span([x, y], [otherX, otherY]) {
    const left = Math.min(x, otherX, 1 - SMALLEST);
    const top = Math.min(y, otherY, 1 - SMALLEST);
    this.sides = [left, top, Math.max(x, otherX, left + SMALLEST), Math.max(y, otherY, top + SMALLEST)];
    this.draw();
  }

  /** Follows a pointer: it moves a corner or the area, or else draws a new box. */
  take(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    const target = event.target.closest(".handle, .area");
    const handle = target?.matches(".handle") ? target : null;
    const moves = handle === null && target !== null && !this.isWhole;
    const before = this.sides;
    const start = this.place(event);
    (handle ?? this.area).focus({ preventScroll: true });
    this.stage.setPointerCapture(event.pointerId);

    const follow = (moved) => {
      const [x, y] = this.place(moved);
      if (Math.hypot(moved.clientX - event.clientX, moved.clientY - event.clientY) < TAP) return;
      if (handle !== null) this.moveCorner(handle, x, y);
      else if (moves) this.moveArea(before, x - start[0], y - start[1]);
      else this.span(start, [x, y]);
    };
    const done = (ended) => {
      this.stage.removeEventListener("pointermove", follow);
      this.stage.removeEventListener("pointerup", done);
      this.stage.removeEventListener("pointercancel", done);
      if (ended.type === "pointercancel") {
        this.sides = before;
        this.draw();
      } else if (this.sides.join() !== before.join()) {
        this.chosen();
      }
    };
    this.stage.addEventListener("pointermove", follow);
    this.stage.addEventListener("pointerup", done);
    this.stage.addEventListener("pointercancel", done);
  }

  press(event) {
    if (event.key === "Enter") {
      this.chosen();
    } else if (event.key in ARROWS) {
      const step = event.shiftKey ? 10 * STEP : STEP;
      const [x, y] = ARROWS[event.key].map((way) => way * step);
      if (event.target === this.area) {
        this.moveArea(this.sides, x, y);
      } else {
        const [left, top] = this.corner(event.target);
        this.moveCorner(event.target, left + x, top + y);
      }
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Where a pointer is on the picture. */
  place(event) {
    const { left, top, width, height } = this.stage.getBoundingClientRect();
    return [between(0, (event.clientX - left) / width, 1), between(0, (event.clientY - top) / height, 1)];
  }
}

function between(lowest, value, highest) {
  return Math.min(Math.max(value, lowest), highest);
}

function percentOf(value) {
  return `${Math.round(value * 100)} %`;
}

function describe(slider, value, text) {
  slider.setAttribute("aria-valuenow", Math.round(value * 100));
  slider.setAttribute("aria-valuetext", text);
}
