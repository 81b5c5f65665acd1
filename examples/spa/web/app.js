'use strict';

const one = (id) => document.getElementById(id);
const show = (selector, yes) => document.querySelectorAll(selector).forEach((e) => { e.hidden = !yes; });

// start asks who is logged in. 401 is no error: then nobody is.
async function start() {
  const response = await fetch('/auth/me', { headers: { Accept: 'application/json' } });
  const me = response.ok ? await response.json() : null;
  show('.in', me);
  show('.out', !me);
  if (!me) return;
  document.querySelector('.name').textContent = me.claims.name || me.claims.sub;
  one('who').textContent = JSON.stringify(me, null, 2);
  one('loot').textContent = [document.cookie, ...Object.values(localStorage), ...Object.values(sessionStorage)].join(' ') || 'nothing';
}

// call asks the API. A 401 with a retry_url is a refusal that another login mends: the user is offered it. (With any other
// status retry_url leads to the home page or the same page.)
async function call(method, address) {
  one('answer').textContent = '…';
  const response = await fetch(address, { method, headers: { Accept: 'application/json' } });
  const { retry_url: retry, ...said } = await response.json();
  one('answer').textContent = `${response.status}\n${JSON.stringify(said, null, 2)}`;
  const mends = response.status === 401 && retry;
  one('again').hidden = !mends;
  if (mends) one('again').href = retry;
}

one('read').addEventListener('click', () => call('GET', '/api'));
one('write').addEventListener('click', () => call('POST', '/api'));
one('more').addEventListener('click', () => call('GET', '/api?acr_values=gold'));
start();
