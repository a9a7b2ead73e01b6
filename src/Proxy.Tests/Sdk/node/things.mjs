// Shared by the scripts: runs the checks one after the other, and holds their models and inputs.
export const hello = [{ role: 'user', content: 'hello' }];
export const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
export const cities = [{ city: 'Paris' }, { city: 'Rome' }];
export const parameters = { type: 'object', properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } }, required: ['city'] };

/** The model that the hosts of all dialects serve, for the hosts of these dialects. */
export const over = (...dialects) => dialects.map(dialect => `any-${dialect}`);

/** Prints "ok NAME" for each check that passes, then ends the process. */
export async function run(things) {
  let failed = false;
  for (const [name, thing] of Object.entries(things)) {
    try {
      await thing();
      console.log(`ok ${name}`);
    } catch (error) {
      failed = true;
      console.log(`FAILED ${name}: ${error.stack}`);
    }
  }
  process.exit(failed ? 1 : 0);
}
