import { lazy, Suspense, useState } from 'react'
import { columns } from './columns.js'

const Clock = lazy(() => import('./Clock.jsx'))

export function Board({ title }) {
  const [cards, setCards] = useState(() => columns.map(() => []))
  const add = (column) =>
    setCards((all) => all.map((own, index) => (index === column ? [...own, `Card ${own.length + 1}`] : own)))
  return (
    <main>
      <h1>{title}</h1>
      <Suspense fallback={null}>
        <Clock />
      </Suspense>
      <section className="board">
        {columns.map((name, column) => (
          <div key={name} className="column">
            <h2>{name}</h2>
            {cards[column].map((card) => (
              <p key={card}>{card}</p>
            ))}
            <button onClick={() => add(column)}>Add</button>
          </div>
        ))}
      </section>
    </main>
  )
}
