import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Board } from './Board.jsx'
import './main.css'

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <Board title={import.meta.env.VITE_TITLE ?? 'A small board'} />
  </StrictMode>,
)
