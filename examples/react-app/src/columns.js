export const columns = ['To do', 'Doing', 'Done']
