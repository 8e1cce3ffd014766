// Stores logins, codes and grants in memory, outside any provider: they outlive a change of the configuration.

const SWEEP_INTERVAL_MS = 60_000;
const stored = new Map();

const now = () => performance.now() / 1000; // not the clock that tests move

setInterval(() => {
  for (const [key, { expiresAt }] of stored) if (expiresAt <= now()) stored.delete(key);
}, SWEEP_INTERVAL_MS).unref();

export class MemoryAdapter {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, lifetimeSeconds = Infinity) {
    stored.set(`${this.model} ${id}`, { model: this.model, payload, expiresAt: now() + lifetimeSeconds });
  }

  async find(id) {
    const entry = stored.get(`${this.model} ${id}`);
    return entry && entry.expiresAt > now() ? entry.payload : undefined;
  }

  async findByUid(uid) {
    const entries = [...stored.values()];
    return entries.find(({ model, payload }) => model === this.model && payload.uid === uid)?.payload;
  }

  async findByUserCode() {
    return undefined; // there is no device flow
  }

  async consume(id) {
    const payload = await this.find(id);
    if (payload) payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    stored.delete(`${this.model} ${id}`);
  }

  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of stored) if (payload.grantId === grantId) stored.delete(key);
  }
}
