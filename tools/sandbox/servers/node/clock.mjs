// A clock that can be wrong: the time of this process, moved by an offset.

const RealDate = Date;
let offsetMs = 0;

class OffsetDate extends RealDate {
  constructor(...parts) {
    super(...(parts.length ? parts : [OffsetDate.now()]));
  }

  static now() {
    return RealDate.now() + offsetMs;
  }
}

export function setClockOffset(seconds) {
  offsetMs = seconds * 1000;
  globalThis.Date = OffsetDate;
}
